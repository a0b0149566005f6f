"""From a call at the gateway to a tritonserver for it, and how the gateway ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext

from align_zoo.serving.gateway.model_queue import ModelQueue
from align_zoo.serving.gateway.options import GatewayOptions
from align_zoo.serving.gateway.refusal import Reason, Refusal
from align_zoo.serving.gateway.suspects import Content, Suspects
from align_zoo.serving.routing import Backend, Backends, NotServing

__all__ = ["Admission"]


class Admission:
    """Calls under way, those that wait, and the backend each goes to. For one event loop.

    Args:
        backends: where calls go.
        options: how many requests may wait, and how long.
        suspects: remembers what a server died with.
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
        """Return if calls are taken.

        Raises:
            Refusal: the service stops, or there is no backend.
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
    ) -> AsyncIterator[Backend]:
        """The backend for one call, after it has waited its turn.

        Args:
            model: whose queue it joins; if the backend has no such model, it does not wait.
            items: of the request.
            size: of the request, in bytes.
            content: of an inference: if a server died with it before, nothing is let through
                beside it; None for a call that only reads.

        Raises:
            Refusal: the call is not taken.
        """
        self.check()
        self._under_way += 1
        try:
            queue = self._queue(model)
            if content:
                self._suspects.check(content)
            async with queue.turn(items, size, self._alone(content)) if queue else nullcontext():
                try:
                    # Now, not before the waiting: another one may have come meanwhile.
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

    def knows(self, model: str) -> bool:
        """Whether it is one of the backend's: only those get a queue, and a label in metrics."""
        return model in self._queues or self._queue(model) is not None

    def waiting(self, model: str) -> int:
        """Requests that wait in a model's queue."""
        return self._queues[model].waiting if model in self._queues else 0

    async def drain(self, seconds: float) -> bool:
        """Take no more calls; whether all that were taken ended within so many seconds."""
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
