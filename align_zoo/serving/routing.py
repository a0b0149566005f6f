"""The tritonserver that answers now, and the calls that still use its predecessor."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc

from align_zoo.runtime.features import Layout

__all__ = ["Backend", "Backends", "NotServing", "Served", "Supervision"]


class NotServing(Exception):
    """No tritonserver answers now; the message gives the reason to the caller of the service."""


@dataclass(frozen=True)
class Served:
    """What a tritonserver answers with."""

    name: str
    """The model's name for callers: a hub id, a folder's last name or a name of the package's."""
    checkpoint: str
    """The checkpoint's fingerprint."""
    width: int
    """The width of the embeddings."""
    since: float
    """The time of the first answer, in Unix time."""
    read_layout: Callable[[], Layout]
    """Reads where the places of the checkpoint's feature maps lie."""


@dataclass(frozen=True, eq=False)
class Backend:
    """A tritonserver that has answered a real inference, on sockets of its own."""

    number: int
    """The number of the start, from 1."""
    channel: grpc.aio.Channel
    """The channel to its gRPC."""
    http: Path
    """The Unix socket of its HTTP."""
    metrics: Path
    """The Unix socket of its metrics."""
    at_once: dict[str, int]
    """By model, the most items to let through at once: two full batches."""
    served: Served
    """The checkpoint that the server has loaded."""


class Supervision(Protocol):
    """What the gateway asks of the supervisor of the servers, and reports to the supervisor."""

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Return whether the models answer, and a JSON-able dictionary for /healthz."""

    def age(self, model: str) -> float:
        """Return the seconds since the model answered; infinite before its first answer."""

    def on_answer(self, backend: Backend, model: str) -> None:
        """Note that a model has answered."""

    def on_death(self, backend: Backend, reason: str, model: str) -> None:
        """Note that a backend cannot answer any more, why, and which model's process has died."""


class Backends:
    """The one place that says where a call goes. For one event loop.

    The supervisor sets the backend. Each call takes the backend by :meth:`use`:

    >>> with backends.use() as backend:
    ...     await upstream.call_grpc(backend, path, request, seconds)
    """

    def __init__(self) -> None:
        self.current: Backend | None = None
        self.reason = "it is starting"
        """The reason why there is no backend."""
        self._unset_listeners: list[Callable[[], None]] = []
        self._users: Counter[Backend] = Counter()
        self._changed = asyncio.Event()

    def set(self, backend: Backend) -> None:
        """Send calls to this backend from now on."""
        self.current = backend

    def unset(self, reason: str) -> None:
        """Send calls nowhere from now on; ``reason`` is a clause that begins with "it"."""
        self.current, self.reason = None, reason
        for listener in self._unset_listeners:
            listener()

    def when_unset(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` each time that the backend is unset."""
        self._unset_listeners.append(listener)

    @contextmanager
    def use(self) -> Iterator[Backend]:
        """Yield the backend for one call; the backend is not stopped before the call has ended.

        Raises:
            NotServing: there is no backend.
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
        """Wait until no call uses the backend."""
        while self._users[backend]:
            self._changed.clear()
            await self._changed.wait()
