"""One tritonserver behind the gateway: on Unix sockets of its own, from its start to its end."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from align_zoo.errors import AlignZooError
from align_zoo.runtime.features import Layout
from align_zoo.serving.probe import MODELS, ask, explain
from align_zoo.serving.routing import Backend, Served
from align_zoo.serving.supervision.liveness import ModelLiveness
from align_zoo.serving.supervision.run_folder import RunFolder
from align_zoo.serving.triton.command import ServeOptions, unix_sockets
from align_zoo.serving.triton.messages import SLOW_MODEL
from align_zoo.serving.triton.output import (
    Relay,
    died_while_it_loaded,
    why_ended,
    why_no_repository,
    why_not_loaded,
)
from align_zoo.serving.triton.process import KILLED, TritonProcess, how_it_ended
from align_zoo.serving.triton.processes import awaited_children, dead_children, triton_processes

__all__ = ["Running", "Stumbled", "start"]

_POLL_SECONDS = 0.05
"""The pause between two checks whether tritonserver has begun."""

_WORD_SECONDS = 5.0
"""The time in which tritonserver notices that a model's process has died, and prints why."""
_ABORTED = (128 + signal.SIGABRT, 128 + signal.SIGSEGV)
_SIGN_OF_LIFE_SECONDS = 10.0
"""The time after which Triton 2.60 (25.08) and newer kill a silent model's process, and end. A
process that dies earlier has died by itself, and would die again.
"""
_START_SECONDS = 1800.0
"""The time for loading both models; the first start may fetch and export a checkpoint."""
_FIRST_ANSWER_SECONDS = 60.0
_OTHERS_SECONDS = 2.0
_LAST_LINES_SECONDS = 1.0
_CHANNEL = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
]


class Stumbled(AlignZooError):
    """A start failed by tritonserver's own fault, and another start may succeed."""


class Running:
    """One tritonserver behind the gateway; :func:`start` returns a server that answers.

    >>> running = await start(ServeOptions("align_tiny"), 1, folder)
    >>> await running.kill()

    Args:
        options: the models to serve.
        number: the server's number, counted from 1.
        folder: the folder for the server's sockets, which also gives the prefix in /dev/shm.

    Raises:
        AlignZooError: there is no tritonserver, no model repository, or the server cannot run here.
    """

    def __init__(self, options: ServeOptions, number: int, folder: RunFolder) -> None:
        self.number = number
        self._model = options.model
        self._revision = options.revision
        self._verbose = options.verbose
        self._sockets = folder.path / str(number)
        addresses = unix_sockets(self._sockets)
        self.process = TritonProcess(options, addresses, folder.shm_prefix(number))
        self.relay: Relay
        """The relay of the server's output, set at the start."""
        self.backend: Backend
        self.checkpoint: str
        """The fingerprint of the served checkpoint."""
        self.runtimes: dict[str, str]
        """For each model: the runtime, why it was chosen, and the cost if another is faster."""
        self.liveness: dict[str, ModelLiveness]
        """The liveness of each model."""
        self.model_processes: dict[str, list[int]]
        """The ids of each model's processes: one for each GPU, or one."""
        self.death: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
        """The message of an answer about a model's dead process, and the model."""
        self.since: float
        """The time of the first answer, in ``time.monotonic``'s seconds."""

    async def kill(self) -> None:
        """End the server and its processes, in any state, and remove its sockets.

        Calls on the server fail. There is no gentler way: the supervisor has waited for a healthy
        server's calls, and Triton's own shutdown takes seconds, with a dead model thirty.
        """
        try:
            await asyncio.to_thread(self.process.kill)
        except (OSError, RuntimeError):  # no thread is to be had
            self.process.kill()
        shutil.rmtree(self._sockets, ignore_errors=True)

    async def begin(self) -> None:
        """Start the server and wait until both models have answered.

        Raises:
            AlignZooError: the server ended, or its answers are wrong; the message says why.
            Stumbled: another start may succeed.
        """
        self._sockets.mkdir()
        self._begun = time.monotonic()
        self.relay = relay = Relay(verbose=self._verbose)
        try:
            self.process.launch(relay.writer)
        finally:
            os.close(relay.writer)
        standstill = asyncio.create_task(self._stands_still(relay))
        try:
            # Wait for the socket's file: a gRPC channel retries only after a second.
            while not (self._sockets / "grpc:1").exists():
                self._check(relay)
                if standstill.done():
                    raise standstill.result()
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            standstill.cancel()
        channel = grpc.aio.insecure_channel(f"unix:{self._sockets / 'grpc:1'}", _CHANNEL)
        try:
            await self._meet(channel)
        except BaseException:
            await channel.close()
            raise

    def _check(self, relay: Relay) -> None:
        """Return if the server runs, else raise the reason for its end."""
        code = self.process.ended()
        if code == KILLED:
            raise AlignZooError(how_it_ended(code))
        if code is not None:
            relay.finish(_LAST_LINES_SECONDS)
            lines = relay.lines
            # Not until the end: tritonserver waits for the other model first, and its export.
            said = relay.first(SLOW_MODEL.pattern)
            slow = said is not None and said - self._begun >= _SIGN_OF_LIFE_SECONDS
            # Tritonserver may also abort while it ends for a cause that it has printed.
            aborted = code in _ABORTED and not why_no_repository(lines)
            kind = Stumbled if aborted or slow else AlignZooError
            raise kind(f"{how_it_ended(code)}: {why_ended(lines) or 'it said nothing'}")

    async def _stands_still(self, relay: Relay) -> AlignZooError:
        """Return the error when tritonserver waits without end for a model's process.

        Tritonserver waits so for a process that died before it sent anything. It also waits for
        the end of a process that it gave up after a second without a sign of life: the process
        was only slow, and does not know that it should end; or has failed, and ends slowly.
        """
        assert self.process.pid
        dead: set[int] = set()
        given_up: set[int] = set()
        while True:
            dead_before, dead = dead, dead_children(self.process.pid)
            given_up_before, given_up = given_up, awaited_children(self.process.pid)
            died, slow = dead & dead_before, given_up & given_up_before
            if died or slow:
                why = why_not_loaded(relay.lines)
                if why or died:
                    why = why or died_while_it_loaded("a model")
                    return AlignZooError(f"tritonserver does not load the models: {why}")
                return Stumbled(
                    "tritonserver took a model's process for dead that only was slow: the "
                    "machine, or the container's CPU limit, gives it too little time"
                )
            await asyncio.sleep(_WORD_SECONDS)

    async def _meet(self, channel: grpc.aio.Channel) -> None:
        health = await asyncio.gather(*(ask(channel, m, _FIRST_ANSWER_SECONDS) for m in MODELS))
        well, why = explain(health)
        if not well:
            raise AlignZooError(f"tritonserver does not answer as it should: {why}")
        http, metrics = self._sockets / "http", self._sockets / "metrics"
        # HTTP and metrics listen a moment later, or never if the user's flags switch them off.
        with suppress(TimeoutError):
            async with asyncio.timeout(_OTHERS_SECONDS):
                while not (http.exists() and metrics.exists()):
                    await asyncio.sleep(_POLL_SECONDS)
        self.checkpoint = health[0].checkpoint
        self.runtimes = {each.model: each.runtime for each in health}
        prefix = self.process.shm_prefix
        self.model_processes = {m: triton_processes(prefix, f"/{m}/") for m in MODELS}
        self.liveness = {each.model: ModelLiveness(each.seconds) for each in health}
        self.since = time.monotonic()
        self.backend = Backend(
            number=self.number,
            channel=channel,
            http=http,
            metrics=metrics,
            at_once={model: 2 * await _max_batch_size(channel, model) for model in MODELS},
            served=Served(
                _name(self._model),
                self.checkpoint,
                width=health[0].dim,
                since=time.time(),
                read_layout=cache(partial(Layout.read, self._model, self._revision)),
            ),
        )


async def start(options: ServeOptions, number: int, folder: RunFolder) -> Running:
    """Start a tritonserver, and return it when both models have answered from one checkpoint.

    After a failure or a cancellation nothing of the server is left.

    Raises:
        AlignZooError: the server cannot start, or its answers are wrong.
        Stumbled: another start may succeed.
    """
    try:
        running = Running(options, number, folder)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await running.begin()
        except BaseException:
            await running.kill()
            raise
    except TimeoutError:
        raise AlignZooError(
            f"tritonserver has not loaded the models within {_START_SECONDS:g} s"
        ) from None
    except (OSError, RuntimeError) as error:  # the system has no process, file or thread left
        raise AlignZooError(f"tritonserver cannot be started: {error}") from error
    return running


def _name(model: str) -> str:
    """Return the name of a model for callers, who need not know where its folder is."""
    folder, name = Path(model), model
    if folder.is_dir():  # a link keeps its own name, whatever it leads to
        name = folder.name if folder.name.strip(".") else folder.resolve().name
    return name.encode(errors="surrogateescape").decode(errors="replace")


async def _max_batch_size(channel: grpc.aio.Channel, model: str) -> int:
    config = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelConfig
    try:
        answer = await config(
            service_pb2.ModelConfigRequest(name=model), timeout=_FIRST_ANSWER_SECONDS
        )
    except grpc.aio.AioRpcError as error:
        raise AlignZooError(
            f"tritonserver does not tell {model}'s batch size: {error.details()}"
        ) from error
    return max(1, answer.config.max_batch_size)
