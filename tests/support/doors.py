"""Gateways in front of one real tritonserver, in an event loop of their own."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import threading
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import grpc
from calls import INPUTS
from tritonclient.grpc import service_pb2_grpc
from waiting import wait_until

from align_zoo.runtime.features import Layout
from align_zoo.serving.gateway.gateway import Gateway
from align_zoo.serving.gateway.metrics import Metrics
from align_zoo.serving.gateway.options import GatewayOptions
from align_zoo.serving.routing import Backend, Backends, Served

SERVED = Served(
    "align_tiny",
    checkpoint="",
    width=128,
    since=1.7e9,
    read_layout=partial(Layout.read, "align_tiny"),
)


class Loop:
    """An event loop in a thread: the clients of the tests block."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def call(self, function, *args):
        async def in_loop():
            return function(*args)

        return self.run(in_loop())

    def close(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@dataclass
class Doors:
    """A gateway and what stands behind it."""

    loop: Loop
    gateway: Gateway
    backends: Backends
    metrics: Metrics
    well: bool = True
    """What the doors, in the supervisor's place, say of the servers."""
    ages: dict = field(default_factory=dict)
    deaths: list = field(default_factory=list)
    answers: list = field(default_factory=list)

    def health(self):
        return self.well, {"why": "test"}

    def age(self, model):
        return self.ages.get(model, math.inf)

    def on_answer(self, backend, model):
        self.answers.append(model)

    def on_death(self, backend, reason, model):
        self.deaths.append(reason)

    @property
    def grpc_url(self):
        return f"127.0.0.1:{self.gateway.grpc_port}"

    @property
    def at_work(self):
        """Calls that the server has."""
        return sum(self.backends._users.values())

    @property
    def coming(self):
        """Bytes of HTTP bodies whose end has not come."""
        return self.gateway._bodies.held

    def drain(self, seconds):
        return self.loop.run(self.gateway.drain(seconds))

    def unset(self, reason):
        self.loop.call(self.backends.unset, reason)

    def count(self, name, **labels):
        # In the loop: an answer goes before its counting, which then comes before this.
        return self.loop.call(self.metrics.registry.get_sample_value, name, labels) or 0


@contextlib.contextmanager
def open_doors(loop, folder, *, at_once=32, site=None, **options):
    """A gateway on free ports in front of the server whose sockets lie in a folder.

    ``at_once`` items of a model are let through together.
    """
    folder = Path(folder)
    settings = {"grpc_port": 0, "http_port": 0, "metrics_port": 0, **options}

    async def start():
        backends, metrics = Backends(), Metrics()
        doors = Doors(loop, None, backends, metrics)
        channel = grpc.aio.insecure_channel(f"unix:{folder}/grpc:1")
        sockets, models = (folder / "http", folder / "metrics"), dict.fromkeys(INPUTS, at_once)
        backends.set(Backend(1, channel, *sockets, models, SERVED))
        doors.gateway = Gateway(backends, GatewayOptions(**settings), metrics, doors, site=site)
        await doors.gateway.start()
        return doors, channel

    doors, channel = loop.run(start())
    try:
        yield doors
    finally:
        loop.run(doors.gateway.stop())
        loop.run(channel.close())


@contextlib.contextmanager
def stub_at(url, credentials=None, options=()):
    """The raw calls of KServe's gRPC."""
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1), *options]
    if credentials:
        channel = grpc.secure_channel(url, credentials, options)
    else:
        channel = grpc.insecure_channel(url, options)
    with channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def occupied(doors, stub, request):
    """Return a call that has its turn, in front of a tritonserver that is held."""
    call = stub.ModelInfer.future(request)
    wait_until(lambda: doors.at_work == 1)
    return call


def stop(server):
    """Stop a tritonserver where it is; when this returns, none of its threads runs any more."""
    server.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, server.pid, os.WSTOPPED | os.WNOWAIT)
