"""The timeout covers the preparation of images and may be very long."""

import asyncio
import os
import sys
import time

import pytest
from scripted import Scripted

from align_client import AlignClient, AsyncAlignClient, DeadlineExceeded
from align_client.cores import usable_cores
from align_client.transport import Batch


@pytest.fixture
def server():
    with Scripted() as server:
        yield server


class OnSlowDisk(os.PathLike):
    """A path that takes 0.2 s to open."""

    def __init__(self, path):
        self.path = path
        self.opened = False

    def __fspath__(self):
        if not self.opened:
            self.opened = True
            time.sleep(0.2)
        return str(self.path)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"image")
    return [OnSlowDisk(tmp_path / "a.jpg") for _ in range(50)]


def test_no_image_is_encoded_after_deadline(server, files):
    with (
        AlignClient(server.url, timeout=0.3, max_in_flight=2) as client,
        pytest.raises(DeadlineExceeded, match=r"within 0\.3 s"),
    ):
        client.embed_image(files)
    assert sum(file.opened for file in files) <= 4


def test_async_no_image_is_encoded_after_deadline(server, files):
    async def use():
        async with AsyncAlignClient(server.url, timeout=0.3, max_in_flight=50) as client:
            with pytest.raises(DeadlineExceeded, match=r"within 0\.3 s"):
                await client.embed_image(files)

    asyncio.run(use())
    assert sum(file.opened for file in files) <= 2 * usable_cores()


def test_request_has_only_the_remaining_time(server):
    server.seconds = 0.7
    with AlignClient(server.url, timeout=1.2, max_in_flight=1) as client:
        client._align.transport._batches["align_text"] = Batch(1, errors=False)
        with pytest.raises(DeadlineExceeded, match=r"within 1\.2 s"):
            client.embed_text(["a", "b"])
    assert len(server.requests) == 2


@pytest.mark.parametrize("timeout", [1e10, sys.maxsize, 10**400], ids=["float", "maxsize", "huge"])
def test_very_long_timeout_is_accepted(server, timeout):
    with AlignClient(server.url, timeout=timeout) as client:
        assert client.embed_text("a").shape == (1, 2)
