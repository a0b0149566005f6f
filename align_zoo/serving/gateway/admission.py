"""The way of a call from the gateway to a backend, and the end of the gateway's calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext

from align_zoo.serving.gateway.model_queue import ModelQueue
from align_zoo.serving.gateway.options import GatewayOptions
from align_zoo.serving.gateway.refusal import Reason, Refusal
from align_zoo.serving.gateway.suspects import Content, Suspects
from align_zoo.serving.routing import Backend, Backends, NotServing

__all__ = ["Admission"]


class Admission:
    """Gives each call its turn and its backend. For one event loop.

    >>> admission = Admission(backends, options, suspects)
    >>> async with admission.call("align_text", items=2, size=300) as backend:
    ...     answer = await upstream.call_grpc(backend, path, request, seconds)

    Args:
        backends: where calls go.
        options: the limits of the queues.
        suspects: remembers the requests that a server died with.
    """

    def __init__(self, backends: Backends, options: GatewayOptions, suspects: Suspects) -> None:
        self.backends = backends
        backends.when_unset(self._refuse_waiting)
        self.stopping = False
        self._options = options
        self._suspects = suspects
        self._queues: dict[str, ModelQueue] = {}
        self._under_way = 0
        self._changed = asyncio.Event()

    def check(self) -> None:
        """Return if calls are accepted.

        Raises:
            Refusal: the service is stopping, or there is no backend.
        """
        if self.stopping:
            raise Refusal(Reason.STOPPING, "server is stopping")
        if self.backends.current is None:
            raise _not_ready(self.backends.reason)

    @asynccontextmanager
    async def call(
        self,
        model: str = "",
        items: int = 1,
        size: int = 0,
        content: Content | None = None,
        *,
        held: bool = False,
    ) -> AsyncIterator[Backend]:
        """Yield the backend for one call, after the call's turn has come.

        Args:
            model: the model whose queue the call joins; without a queue the call does not wait.
            items: the number of items of the request.
            size: the size of the request in bytes.
            content: the identity of an inference: a request that a server died with is let through
                alone; None for a call that only reads.
            held: whether the call is a part of one that :meth:`hold` has accepted.

        Raises:
            Refusal: the call is not accepted.
        """
        if not held:
            self.check()
        self._under_way += 1
        try:
            queue = self._queue(model)
            if content:
                self._suspects.check(content)
            async with queue.turn(items, size, self._alone(content)) if queue else nullcontext():
                try:
                    # Only now: the backend may have been replaced during the wait.
                    with (
                        self.backends.use() as backend,
                        self._suspects.at_work(backend, content) if content else nullcontext(),
                    ):
                        yield backend
                except NotServing as none:
                    raise _not_ready(str(none)) from None
        finally:
            self._under_way -= 1
            self._changed.set()

    @contextmanager
    def hold(self) -> Iterator[Backend]:
        """Accept a call of several inferences; yield the backend that it begins with.

        The service does not stop before the block has ended, and answers its calls with ``held``.

        Raises:
            Refusal: the call is not accepted.
        """
        self.check()
        backend = self.backends.current
        assert backend is not None, "check() has seen it"
        self._under_way += 1
        try:
            yield backend
        finally:
            self._under_way -= 1
            self._changed.set()

    def batch_size(self, model: str) -> int:
        """Return the most items of a request to a model that the backend has.

        Raises:
            Refusal: there is no backend.
        """
        if self.backends.current is None:
            raise _not_ready(self.backends.reason)
        return max(1, self.backends.current.at_once[model] // 2)

    def knows(self, model: str) -> bool:
        """Return whether the backend has the model; only such models get a queue and a label."""
        return model in self._queues or self._queue(model) is not None

    def waiting(self, model: str) -> int:
        """Return the number of requests that wait in a model's queue."""
        return self._queues[model].waiting if model in self._queues else 0

    async def drain(self, seconds: float) -> bool:
        """Refuse new calls; return whether all accepted calls ended within ``seconds``."""
        self.stopping = True
        try:
            async with asyncio.timeout(seconds):
                while self._under_way:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _refuse_waiting(self) -> None:
        """Refuse all waiting calls when there is no backend: another replica may have a backend."""
        for queue in self._queues.values():
            queue.refuse_waiting(_not_ready(self.backends.reason))

    def _alone(self, content: Content | None) -> Callable[[], bool]:
        return lambda: content is not None and self._suspects.suspected(content)

    def _queue(self, model: str) -> ModelQueue | None:
        backend = self.backends.current
        at_once = backend.at_once.get(model) if backend else None
        if at_once is None:
            return None
        if model not in self._queues:
            self._queues[model] = ModelQueue(
                at_once,
                queue_size=self._options.queue_size,
                queue_bytes=self._options.queue_bytes,
                queue_seconds=self._options.queue_seconds,
            )
        # Another checkpoint's server may have another batch size.
        self._queues[model].at_once = at_once
        return self._queues[model]


def _not_ready(reason: str) -> Refusal:
    return Refusal(Reason.NOT_READY, f"server not ready: {reason}")
