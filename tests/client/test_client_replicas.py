"""Several servers take turns; dead ones are skipped."""

import socket
import time

import numpy as np
import pytest
from scripted import Scripted, counts, know_batches, replicas
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


def test_replicas_take_turns(two, client):
    client.embed_image([b"image"] * 20)
    assert counts(*two) == [10, 10]


def test_addresses_of_a_name_take_turns(two):
    with AlignClient("ipv4:" + ",".join(server.url for server in two)) as client:
        client.embed_text("hello")

        def both_found():
            client.embed_text("hello")
            return all(counts(*two))

        wait_until(both_found)
        for server in two:
            server.requests.clear()
        client.embed_image([b"image"] * 20)
    assert counts(*two) == [10, 10]


def test_a_name_of_the_dns_is_resolved(two):
    with AlignClient(f"dns:///localhost:{two[0].port}") as client:
        assert client.embed_text("hello").shape == (1, 2)


@pytest.mark.parametrize("dead", [0, 1])
def test_dead_replica_is_skipped(two, client, dead):
    two[dead].stop()
    assert client.embed_image([b"image"] * 20).shape == (20, 2)
    assert client.ready(deep=True) is True


def test_all_replicas_dead_fails_at_once(two, client):
    for server in two:
        server.stop()
    start = time.monotonic()
    with pytest.raises(ServerUnavailable, match=r"cannot be reached.*; tried 2 times"):
        client.embed_text("hello")
    assert time.monotonic() - start < 2
    assert client.ready() is False


def test_restarted_replica_is_used_again(two, client):
    dead, alive = two
    client.embed_image([b"image"] * 4)
    dead.stop()
    client.embed_image([b"image"] * 20)
    with Scripted(port=dead.port) as returned:

        def asked_again():
            client.embed_text("hello")
            return returned.requests

        wait_until(asked_again, seconds=10)
        before = counts(returned, alive)
        client.embed_image([b"image"] * 20)
        assert np.subtract(counts(returned, alive), before).tolist() == [10, 10]


def test_overloaded_replica_s_requests_go_elsewhere(two, client):
    busy, free = two
    busy.refuse("RESOURCE_EXHAUSTED", "overloaded: queue", times=1000)
    start = time.monotonic()
    client.embed_image([b"image"] * 10)
    assert time.monotonic() - start < 2
    assert len(free.requests) == 10


def test_other_server_fails_no_request(two, client):
    wrong, right = two
    wrong.refuse("UNIMPLEMENTED", "Method not found!", times=1000)
    for _ in range(4):
        right.refuse("UNAVAILABLE", "server is stopping")
        assert client.embed_image(b"image").shape == (1, 2)
    assert len(right.requests) == 8


def test_request_of_dying_replica_goes_elsewhere_once(two, client):
    for server in two:
        server.refuse("ABORTED", "server restarted: the model's process died", times=5)
    with pytest.raises(ServerUnavailable, match="died while it worked on this request"):
        client.embed_image(b"deadly")
    assert counts(*two) == [1, 1]


class TestRest:
    def test_replica_without_models_rests(self, two, client):
        replicas(client)[0].failures = 3  # so that it rests for 4 s
        two[0].refuse("NOT_FOUND", "Request for unknown model: 'm' is not found", times=1000)
        with pytest.raises(ModelUnavailable):
            client.embed_image(b"image")
        for _ in range(3):
            client.embed_image(b"image")
        assert counts(*two) == [1, 3]

    def test_silent_replica_rests(self, two):
        two[0].seconds = 20
        with AlignClient([server.url for server in two], timeout=0.5) as client:
            replicas(client)[0].failures = 3
            with pytest.raises(DeadlineExceeded):
                client.embed_image(b"image")
            for _ in range(3):
                client.embed_image(b"image")
        assert counts(*two) == [1, 3]

    def test_expired_request_leaves_trial_to_next(self, two):
        two[0].seconds = 20
        with AlignClient([server.url for server in two], timeout=0.5, max_in_flight=1) as client:
            replicas(client)[0].failures = 3
            replicas(client)[1].failures = 1  # and its rest is over
            know_batches(client)
            with pytest.raises(DeadlineExceeded):
                client.embed_image([b"image"] * 2)
            client.embed_image(b"image")
        assert counts(*two) == [1, 1]


class Halves(Scripted):
    """The image and text models have different checkpoints."""

    def _infer(self, request):
        self.checkpoint = request.model_name
        return super()._infer(request)


class TestReady:
    def test_ready_does_not_wait_for_refusal(self, two):
        two[0].refuse("RESOURCE_EXHAUSTED", "overloaded: queue")
        with AlignClient(two[0].url) as client:
            assert client.ready(deep=True) is False
            assert client.ready(deep=True) is True

    def test_mixed_checkpoints_are_not_ready(self):
        with Halves() as server, AlignClient(server.url) as client:
            assert client.ready() is True
            assert client.ready(deep=True) is False

    def test_one_ready_replica_is_enough(self, two, client):
        assert client.ready() is client.ready(deep=True) is True
        two[0].stop()
        assert client.ready() is client.ready(deep=True) is True

    def test_silent_replica_leaves_time_for_others(self, two):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"127.0.0.1:{silent.getsockname()[1]}"
            with AlignClient([address, two[0].url], timeout=2) as client:
                assert client.ready(deep=True) is True


@pytest.mark.parametrize("url", [[], [""], ["a:1", "b"], [None], "", {"a:1"}, ["http://a:1"]])
def test_every_address_is_host_and_port(url):
    with pytest.raises(InvalidInput, match="host:port"):
        AlignClient(url)
