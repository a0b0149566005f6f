"""Several servers of one model: each in its turn, without the dead, and never mixed."""

import json
import os
import socket
import time

import numpy as np
import pytest
from scripted import Scripted
from waiting import wait_until

from align_client import (
    AlignClient,
    DeadlineExceeded,
    InvalidInput,
    ModelUnavailable,
    ServerUnavailable,
)


@pytest.fixture
def two():
    with Scripted() as a, Scripted() as b:
        yield a, b


@pytest.fixture
def client(two):
    with AlignClient([server.url for server in two], timeout=20) as client:
        yield client


def counts(*servers):
    return [len(server.requests) for server in servers]


class ThenRefusing(Scripted):
    """Answers one inference, then refuses as many as it is told."""

    def __init__(self, *refusal):
        super().__init__()
        self._refusal = refusal

    def _infer(self, request):
        answer = super()._infer(request)
        if self._refusal:
            self.refuse(*self._refusal)
            self._refusal = ()
        return answer


def test_each_is_asked_in_its_turn(two, client):
    client.embed_image([b"picture"] * 20)
    assert counts(*two) == [10, 10]


def test_grpc_takes_turns_among_the_addresses_of_one_name(two):
    with AlignClient("ipv4:" + ",".join(server.url for server in two)) as client:
        client.embed_text("hello")

        def both_found():
            client.embed_text("hello")
            return all(counts(*two))

        wait_until(both_found)
        for server in two:
            server.requests.clear()
        client.embed_image([b"picture"] * 20)
    assert counts(*two) == [10, 10]


def test_a_name_of_the_dns_is_resolved(two):
    with AlignClient(f"dns:///localhost:{two[0].port}") as client:
        assert client.embed_text("hello").shape == (1, 2)


@pytest.mark.parametrize("dead", [0, 1])
def test_one_that_is_dead_from_the_start_is_skipped(two, client, dead):
    two[dead].stop()
    assert client.embed_image([b"picture"] * 20).shape == (20, 2)
    assert client.ready(deep=True) is True


def test_if_all_are_dead_from_the_start_that_is_told_at_once(two, client):
    for server in two:
        server.stop()
    start = time.monotonic()
    with pytest.raises(ServerUnavailable, match=r"cannot be reached.*; tried 2 times"):
        client.embed_text("hello")
    assert time.monotonic() - start < 2
    assert client.ready() is False


def test_one_that_dies_is_skipped_and_taken_back_when_it_returns(two, client):
    dead, alive = two
    client.embed_image([b"picture"] * 4)
    dead.stop()
    client.embed_image([b"picture"] * 20)
    with Scripted(port=dead.port) as returned:

        def asked_again():
            client.embed_text("hello")
            return returned.requests

        wait_until(asked_again, seconds=10)
        before = counts(returned, alive)
        client.embed_image([b"picture"] * 20)
        assert np.subtract(counts(returned, alive), before).tolist() == [10, 10]


def test_one_that_has_too_much_to_do_sends_its_callers_to_the_other(two, client):
    busy, free = two
    busy.refuse("RESOURCE_EXHAUSTED", "overloaded: queue", times=1000)
    start = time.monotonic()
    client.embed_image([b"picture"] * 10)
    assert time.monotonic() - start < 2
    assert len(free.requests) == 10


def test_one_that_is_no_server_of_ours_fails_no_request_that_the_other_will_answer(two, client):
    wrong, right = two
    wrong.refuse("UNIMPLEMENTED", "Method not found!", times=1000)
    for _ in range(4):
        right.refuse("UNAVAILABLE", "server is stopping")
        assert client.embed_image(b"picture").shape == (1, 2)
    assert len(right.requests) == 8


def test_one_that_dies_with_a_request_leaves_it_to_the_other_once(two, client):
    for server in two:
        server.refuse("ABORTED", "server restarted: the model's process died", times=5)
    with pytest.raises(ServerUnavailable, match="died while it worked on this request"):
        client.embed_image(b"deadly")
    assert counts(*two) == [1, 1]


def replicas(client):
    return client._align.transport.replicas.replicas


class TestRest:
    def test_one_without_our_models_is_left_alone_after_it_has_said_so(self, two, client):
        replicas(client)[0].failures = 3  # so that it rests for 4 s
        two[0].refuse("NOT_FOUND", "Request for unknown model: 'm' is not found", times=1000)
        with pytest.raises(ModelUnavailable):
            client.embed_image(b"picture")
        for _ in range(3):
            client.embed_image(b"picture")
        assert counts(*two) == [1, 3]

    def test_and_so_is_a_silent_one(self, two):
        two[0].seconds = 20
        with AlignClient([server.url for server in two], timeout=0.5) as client:
            replicas(client)[0].failures = 3
            with pytest.raises(DeadlineExceeded):
                client.embed_image(b"picture")
            for _ in range(3):
                client.embed_image(b"picture")
        assert counts(*two) == [1, 3]

    def test_a_request_whose_time_was_up_leaves_one_to_be_tried_by_the_next(self, two):
        two[0].seconds = 20
        with AlignClient([server.url for server in two], timeout=0.5, max_in_flight=1) as client:
            replicas(client)[0].failures = 3
            replicas(client)[1].failures = 1  # and its rest is over
            with pytest.raises(DeadlineExceeded):
                client.embed_image([b"picture"] * 2)
            client.embed_image(b"picture")
        assert counts(*two) == [1, 1]


class TestCheckpoints:
    @pytest.fixture
    def mixed(self, two):
        two[1].checkpoint = "b"
        return two

    def test_while_the_checkpoint_is_changed_one_after_the_other_no_call_fails(self, mixed, client):
        for i in range(10):
            images = [b"picture"] * (1 + i % 3)
            assert client.classify(images, ["cat", f"dog {i}"])
            assert client.similarity(images, [f"cow {i}"]).shape == (len(images), 1)
            assert client.embed_image(images).shape == (len(images), 2)
            assert client.embed_text([f"{i} {j}" for j in range(20)]).shape == (20, 2)

    def test_nor_where_one_name_stands_for_both(self, mixed):
        with AlignClient("ipv4:" + ",".join(server.url for server in mixed)) as client:
            for i in range(20):
                assert client.classify([b"picture"] * 3, [f"dog {i}"])
        assert all(counts(*mixed))

    def test_one_that_is_too_busy_for_its_part_is_waited_for(self):
        with (
            ThenRefusing("RESOURCE_EXHAUSTED", "overloaded: queue", 3) as busy,
            Scripted(checkpoint="b") as other,
            AlignClient([busy.url, other.url], max_in_flight=1) as client,
        ):
            start = time.monotonic()
            assert client.embed_image([b"picture"] * 2).shape == (2, 2)
            assert time.monotonic() - start > 0.35  # half of 0.1 + 0.2 + 0.4
            assert counts(busy, other) == [1 + 3 + 2, 1]

    def test_one_that_stops_before_its_part_leaves_it_to_another(self):
        with (
            ThenRefusing("UNAVAILABLE", "server is stopping", 1000) as stopping,
            Scripted(checkpoint="b") as other,
            AlignClient([stopping.url, other.url], max_in_flight=1) as client,
        ):
            assert client.embed_image([b"picture"] * 2).shape == (2, 2)
            assert counts(stopping, other) == [1 + 2, 1 + 2]

    def test_a_picture_is_shrunk_for_the_replica_that_answers(self):
        image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
        with (
            Scripted(resize=[64, 48, 2]) as a,
            Scripted(resize=[30, 50, 3]) as b,
            AlignClient([a.url, b.url]) as client,
        ):
            rows = client.embed_image([image] * 20)
            assert rows.tolist() == [[1, 0]] * 20
            assert all(counts(a, b))

    def test_one_chosen_for_a_call_that_then_asks_nothing_is_still_there_for_others(
        self, mixed, tmp_path
    ):
        (tmp_path / "a.jpg").write_bytes(b"picture")

        class Removed(os.PathLike):
            """When both have been asked."""

            def __fspath__(self):
                return str(tmp_path / ("nowhere" if all(counts(*mixed)) else "a.jpg"))

        with (
            Scripted() as third,
            AlignClient([s.url for s in (*mixed, third)], max_in_flight=1) as client,
        ):
            replicas(client)[2].failures = 1  # and its rest is over
            with pytest.raises(InvalidInput, match="does not exist"):
                client.embed_image([Removed()] * 2)
            for _ in range(3):
                client.embed_image(b"picture")
            assert third.requests

    def test_towers_that_are_never_of_one_checkpoint_are_named_with_all_addresses(self, puppets):
        old, new = (json.dumps({"checkpoint": name}) for name in ("old", "new"))
        urls = [puppets.url, puppets.url.replace("127.0.0.1", "localhost")]
        with (
            AlignClient(urls) as client,
            pytest.raises(ModelUnavailable, match=f"{urls[0]}, {urls[1]} answers.*new, old"),
        ):
            client.similarity(old.encode(), new)


class Halves(Scripted):
    """Its towers are of two checkpoints."""

    def _infer(self, request):
        self.checkpoint = request.model_name
        return super()._infer(request)


class TestReady:
    def test_a_refusal_is_told_as_it_is_not_waited_out(self, two):
        two[0].refuse("RESOURCE_EXHAUSTED", "overloaded: queue")
        with AlignClient(two[0].url) as client:
            assert client.ready(deep=True) is False
            assert client.ready(deep=True) is True

    def test_towers_that_are_not_of_one_checkpoint_are_not_ready(self):
        with Halves() as server, AlignClient(server.url) as client:
            assert client.ready() is True
            assert client.ready(deep=True) is False

    def test_one_that_is_ready_is_enough(self, two, client):
        assert client.ready() is client.ready(deep=True) is True
        two[0].stop()
        assert client.ready() is client.ready(deep=True) is True

    def test_a_silent_one_leaves_time_for_the_others(self, two):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"127.0.0.1:{silent.getsockname()[1]}"
            with AlignClient([address, two[0].url], timeout=2) as client:
                assert client.ready(deep=True) is True


@pytest.mark.parametrize("url", [[], [""], ["a:1", "b"], [None], "", {"a:1"}, ["http://a:1"]])
def test_every_address_is_host_and_port(url):
    with pytest.raises(InvalidInput, match="host:port"):
        AlignClient(url)
