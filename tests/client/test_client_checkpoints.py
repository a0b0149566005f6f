"""Replicas of different checkpoints, as while they are updated: one call is of one checkpoint."""

import json
import os
import time

import numpy as np
import pytest
from scripted import Scripted, counts, know_batches, replicas

from align_client import AlignClient, InvalidInput, ModelUnavailable


class ThenRefusing(Scripted):
    """Answers one inference, then refuses a given number."""

    def __init__(self, *refusal):
        super().__init__()
        self._refusal = refusal

    def _infer(self, request):
        answer = super()._infer(request)
        if self._refusal:
            self.refuse(*self._refusal)
            self._refusal = ()
        return answer


@pytest.fixture
def mixed():
    with Scripted() as a, Scripted(checkpoint="b") as b:
        yield a, b


@pytest.fixture
def client(mixed):
    with AlignClient([server.url for server in mixed], timeout=20) as client:
        yield client


def test_rolling_reload_fails_no_call(mixed, client):
    for i in range(10):
        images = [b"image"] * (1 + i % 3)
        assert client.classify(images, ["cat", f"dog {i}"])
        assert client.similarity(images, [f"cow {i}"]).shape == (len(images), 1)
        assert client.embed_image(images).shape == (len(images), 2)
        assert client.embed_text([f"{i} {j}" for j in range(20)]).shape == (20, 2)


def test_rolling_reload_behind_one_name(mixed):
    with AlignClient("ipv4:" + ",".join(server.url for server in mixed)) as client:
        for i in range(20):
            assert client.classify([b"image"] * 3, [f"dog {i}"])
    assert all(counts(*mixed))


def test_busy_replica_is_waited_for():
    with (
        ThenRefusing("RESOURCE_EXHAUSTED", "overloaded: queue", 3) as busy,
        Scripted(checkpoint="b") as other,
        AlignClient([busy.url, other.url], max_in_flight=1) as client,
    ):
        know_batches(client)
        start = time.monotonic()
        assert client.embed_image([b"image"] * 2).shape == (2, 2)
        assert time.monotonic() - start > 0.35  # half of 0.1 + 0.2 + 0.4
        assert counts(busy, other) == [1 + 3 + 2, 1]


def test_stopped_replica_s_part_goes_elsewhere():
    with (
        ThenRefusing("UNAVAILABLE", "server is stopping", 1000) as stopping,
        Scripted(checkpoint="b") as other,
        AlignClient([stopping.url, other.url], max_in_flight=1) as client,
    ):
        know_batches(client)
        assert client.embed_image([b"image"] * 2).shape == (2, 2)
        assert counts(stopping, other) == [1 + 2, 1 + 2]


def test_image_is_shrunk_for_answering_replica():
    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    with (
        Scripted(resize=[64, 48, 2]) as a,
        Scripted(resize=[30, 50, 3]) as b,
        AlignClient([a.url, b.url]) as client,
    ):
        rows = client.embed_image([image] * 20)
        assert rows.tolist() == [[1, 0]] * 20
        assert all(counts(a, b))


def test_unused_choice_keeps_replica_available(mixed, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"image")

    class Removed(os.PathLike):
        """Runs after both servers have been asked."""

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
            client.embed_image(b"image")
        assert third.requests


def test_mixed_checkpoints_error_names_all_addresses(puppets):
    old, new = (json.dumps({"checkpoint": name}) for name in ("old", "new"))
    urls = [puppets.url, puppets.url.replace("127.0.0.1", "localhost")]
    with (
        AlignClient(urls) as client,
        pytest.raises(ModelUnavailable, match=f"{urls[0]}, {urls[1]} answers.*new, old"),
    ):
        client.similarity(old.encode(), new)
