"""A client belongs to one process, and leaves nothing behind when it is closed."""

import asyncio
import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from scripted import Scripted
from waiting import wait_until

from align_client import AlignClient, AlignClientError, AsyncAlignClient

CLIENTS = [AlignClient, AsyncAlignClient]


@pytest.fixture
def server():
    with Scripted() as server:
        yield server


def said(client, answers):
    """Use and close the client in another process, and report the error."""
    try:
        if isinstance(client, AlignClient):
            client.embed_text(["a"] * 20)
        else:
            asyncio.run(client.embed_text("a"))
    except AlignClientError as error:
        answers.put(str(error))
    client.close() if isinstance(client, AlignClient) else asyncio.run(client.close())
    answers.put("closed")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
def test_client_is_refused_after_fork(server, used):
    fork = multiprocessing.get_context("fork")
    with AlignClient(server.url) as client:
        if used:
            client.embed_image([b"image"] * 20)
        answers = fork.SimpleQueue()
        child = fork.Process(target=said, args=(client, answers))
        child.start()
        child.join(20)
        assert child.exitcode == 0
        assert "made in another process" in answers.get()
        assert answers.get() == "closed"
        assert client.embed_text("a").shape == (1, 2)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_async_client_is_refused_after_fork(server):
    fork = multiprocessing.get_context("fork")
    client = AsyncAlignClient(server.url)
    answers = fork.SimpleQueue()
    child = fork.Process(target=said, args=(client, answers))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    assert "make one in each process" in answers.get()


HELD_LOCKS = """
import io, multiprocessing
from contextlib import ExitStack
from PIL import Image
from align_client.cores import usable_cores
from align_client.images import _read_locks, encoded
from align_client.shrink import Resize, _decoding_slots

def shrink():
    data = io.BytesIO()
    Image.effect_noise((400, 300), 100).save(data, "PNG")
    for image in (Image.open(data), data.getvalue()):
        sent = encoded(image, Resize(48, 64, Image.Resampling.BILINEAR), files=True)
        print(*Image.open(io.BytesIO(sent.data)).size, flush=True)

with ExitStack() as busy:
    for lock in [*_read_locks.value, *[_decoding_slots.value] * usable_cores()]:
        busy.enter_context(lock)
    child = multiprocessing.get_context("fork").Process(target=shrink)
    child.start()
    child.join(20)
    child.kill()
"""


def test_held_locks_do_not_block_forked_child():
    """In an interpreter of its own: the threads of other tests hold locks of others."""
    command = [sys.executable, "-c", HELD_LOCKS]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert said.stdout.splitlines() == ["64 48", "64 48"], said.stderr


@pytest.mark.parametrize("make", CLIENTS)
@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_client_cannot_be_pickled_or_copied(make, duplicate):
    with pytest.raises(TypeError, match=f"{make.__name__} cannot be .*one in each process"):
        duplicate(make("localhost:1"))


AFTER_THE_END = """
import asyncio, concurrent.futures.thread, sys, threading, time
from align_client import AlignClient, AlignClientError, AsyncAlignClient

def ask():
    while not concurrent.futures.thread._shutdown:
        time.sleep(0.01)
    try:
        {call}
    except AlignClientError as error:
        print(error)

threading.Thread(target=ask).start()
"""


@pytest.mark.parametrize(
    "call",
    [
        "AlignClient(sys.argv[1]).embed_image([b'image'] * 2)",
        "asyncio.run(AsyncAlignClient(sys.argv[1]).embed_image('a.jpg'))",
    ],
)
def test_call_at_interpreter_exit_raises_alignclienterror(server, call):
    code = AFTER_THE_END.format(call=call)
    said = subprocess.run(
        [sys.executable, "-c", code, server.url], capture_output=True, text=True, timeout=60
    )
    assert "cannot schedule new futures after interpreter shutdown" in said.stdout, said.stderr


class Interrupted(os.PathLike):
    """An image; the user presses Ctrl-C while it is read."""

    def __fspath__(self):
        raise KeyboardInterrupt


def test_interrupted_call_leaves_empty_queue(server):
    server.seconds = 0.5
    with AlignClient(server.url, max_in_flight=4) as client:
        with pytest.raises(KeyboardInterrupt):
            client.embed_image([Interrupted(), *[b"image"] * 40])
        client.embed_image([b"image"] * 2)
        assert len(server.requests) <= 4 + 2


def own_threads():
    return [t for t in threading.enumerate() if t.name.startswith("align-client")]


def test_a_closed_client_leaves_no_thread(server):
    before = len(own_threads())
    with AlignClient(server.url) as client:
        client.embed_image([b"image"] * 40)
        assert len(own_threads()) > before
    assert len(own_threads()) == before


def test_closed_async_client_leaves_no_thread(server):
    before = len(own_threads())
    client = AsyncAlignClient(server.url)

    async def use():
        async with client:
            await client.embed_image([np.zeros((9, 9, 3), np.uint8)] * 40)
            assert len(own_threads()) > before

    asyncio.run(use())
    wait_until(lambda: len(own_threads()) == before)
