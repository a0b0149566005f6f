"""Which tritonserver answers now, and who still waits for the one before."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

__all__ = ["Backend", "Backends", "NotServing"]


class NotServing(Exception):
    """Nobody answers now; the words say why, for the caller of the service."""


@dataclass(frozen=True, eq=False)
class Backend:
    """A tritonserver that has answered a real inference, on sockets of its own."""

    number: int
    """Counted from 1 with each start."""
    channel: grpc.aio.Channel
    """To its gRPC."""
    http: Path
    """The Unix socket of its HTTP."""
    metrics: Path
    """The Unix socket of its metrics."""
    at_once: dict[str, int]
    """By model, how many items it should have before it at once: two full batches."""


class Backends:
    """The one place that says where a call goes. For one event loop.

    The supervisor tells what is there; whoever makes calls takes a backend for each by :meth:`use`
    and reports what it met: the news goes to ``on_answer`` and ``on_death``.
    """

    def __init__(self) -> None:
        self.current: Backend | None = None
        self.reason = "it is starting"
        """Why there is none."""
        self.on_answer: Callable[[Backend, str], None] = lambda backend, model: None
        """A model has answered."""
        self.on_death: Callable[[Backend, str, str], None] = lambda backend, reason, model: None
        """A backend cannot answer any more, why, and whose process has died."""
        self.on_unset: Callable[[], None] = lambda: None
        """There is none now."""
        self._users: Counter[Backend] = Counter()
        self._changed = asyncio.Event()

    def set(self, backend: Backend) -> None:
        """From now on calls go to this one."""
        self.current = backend

    def unset(self, reason: str) -> None:
        """From now on there is none, because "it ..."."""
        self.current, self.reason = None, reason
        self.on_unset()

    @contextmanager
    def use(self) -> Iterator[Backend]:
        """The backend for one call, which is not stopped before the call has ended.

        Raises:
            NotServing: there is none.
        """
        backend = self.current
        if backend is None:
            raise NotServing(self.reason)
        self._users[backend] += 1
        try:
            yield backend
        finally:
            self._users[backend] -= 1
            if not self._users[backend]:
                del self._users[backend]
                self._changed.set()

    async def unused(self, backend: Backend) -> None:
        """Return when no call uses it any more."""
        while self._users[backend]:
            self._changed.clear()
            await self._changed.wait()
