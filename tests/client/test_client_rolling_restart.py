"""Two real servers on align_tiny, restarted one after the other under load.

One is asked to end, the other is killed; no request is lost.
"""

import asyncio
import itertools
import os
import signal
import threading
from contextlib import ExitStack

import numpy as np
import pytest
from PIL import Image
from served import starts_server
from waiting import wait_until

from align_client import AlignClient, AlignClientError, AsyncAlignClient
from align_zoo.serving.triton.command import ServeOptions
from align_zoo.serving.triton.launcher import ServerProcess

IMAGES = [
    Image.fromarray(np.random.default_rng(i).integers(0, 256, (60, 60, 3), np.uint8))
    for i in range(4)
]


@pytest.fixture(scope="module")
@starts_server
def two(served_name, tmp_path_factory):
    log = tmp_path_factory.mktemp("two")
    with ExitStack() as stack:
        servers = []
        for name in "ab":
            options = ServeOptions(model=served_name).on_free_ports()
            server = ServerProcess(options, log=log / f"{name}.log")
            server.start()
            stack.callback(server.stop)
            servers.append(server)
        for server in servers:
            server.wait_until_answering()
        yield servers


@pytest.fixture
def load(two):
    """Make calls from threads and tasks throughout a test."""
    urls = [server.grpc_url for server in two]
    with AlignClient(urls, timeout=60) as client:
        expected = client.embed_image(IMAGES)
    done = threading.Event()
    outcomes = []

    def judge(i, row):
        right = np.abs(row - expected[i % 4]).max() < 1e-5
        outcomes.append("right" if right else row)

    def ask(client):
        for i in itertools.count():
            if done.is_set():
                return
            try:
                judge(i, client.embed_image(IMAGES[i % 4])[0])
                client.classify(IMAGES[i % 4], [f"label {i}"])
            except AlignClientError as error:
                outcomes.append(error)

    async def await_answers(client):
        for i in itertools.count():
            if done.is_set():
                return
            try:
                judge(i, (await client.embed_image(IMAGES[i % 4]))[0])
            except AlignClientError as error:
                outcomes.append(error)

    async def tasks():
        async with AsyncAlignClient(urls, timeout=60) as client:
            await asyncio.gather(*(await_answers(client) for _ in range(4)))

    with AlignClient(urls, timeout=60) as client:
        threads = [threading.Thread(target=ask, args=(client,)) for _ in range(4)]
        threads.append(threading.Thread(target=lambda: asyncio.run(tasks())))
        for thread in threads:
            thread.start()
        yield outcomes
        done.set()
        for thread in threads:
            thread.join(60)
        assert not [thread for thread in threads if thread.is_alive()]


def wait_for_more(outcomes, count):
    """Wait until ``count`` more calls have ended."""
    goal = len(outcomes) + count
    wait_until(lambda: len(outcomes) >= goal)


def asked_to_end(server):
    server.send_signal(signal.SIGTERM)


def killed(server):
    """End the server and its models' processes, which may outlive it."""
    os.killpg(server.pid, signal.SIGKILL)


def test_rolling_restart_loses_no_request(two, load):
    wait_for_more(load, 50)
    for server, end in zip(two, (asked_to_end, killed), strict=True):
        end(server)
        server.wait(60)
        wait_for_more(load, 50)
        server.start()
        server.wait_until_answering()
        wait_for_more(load, 50)
    assert set(map(str, load)) == {"right"}
