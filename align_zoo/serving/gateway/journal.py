"""What became of each request, in metrics and in the log; never what was in it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from align_zoo.serving.gateway.metrics import Metrics
from align_zoo.serving.gateway.refusal import Reason
from align_zoo.serving.logs import event, is_shown

__all__ = ["Entry", "Journal", "fresh_id", "shown_id"]

_SECONDS_BETWEEN_LINES = 1.0


def fresh_id() -> str:
    """An id for a request that came without one."""
    return secrets.token_hex(8)


def shown_id(text: str) -> str:
    """An id of a caller as a header and the log can carry it: printable ASCII, not too long."""
    return "".join(char if "!" <= char <= "~" else "?" for char in text[:64])


@dataclass
class Entry:
    """One request."""

    id: str = ""
    model: str = ""
    """Empty if it is not one that the server knows."""
    items: int = 1
    begin: float = field(default_factory=time.perf_counter)
    whole: float | None = None
    """When all of it was there, and its waiting began."""
    turn: float | None = None
    """When its waiting was over."""

    def it_waits(self) -> None:
        """All of it has come."""
        self.whole = time.perf_counter()

    def its_turn(self) -> None:
        """It goes to tritonserver now."""
        self.turn = time.perf_counter()

    @property
    def queue_seconds(self) -> float:
        """What it waited, until now if it still does."""
        return (self.turn or time.perf_counter()) - self.whole if self.whole else 0.0


class Journal:
    """Counts and logs. For one event loop.

    Requests that fail alike share a line a second: a flood of them must not fill the disk.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._unwritten: dict[tuple[str, str, str], int] = {}

    def answered(self, entry: Entry) -> None:
        """It got what it asked for; counted when the answer is on its way."""
        seconds = time.perf_counter() - entry.begin
        asyncio.get_running_loop().call_soon(self._count, entry, seconds)

    def _count(self, entry: Entry, seconds: float) -> None:
        metrics, model = self._metrics, entry.model
        metrics.requests.labels(model, "OK").inc()
        metrics.items.labels(model).inc(entry.items)
        metrics.request_items.labels(model).observe(entry.items)
        metrics.request_seconds.labels(model).observe(seconds)
        metrics.queue_seconds.labels(model).observe(entry.queue_seconds)
        if is_shown(logging.DEBUG):
            event("request", level=logging.DEBUG, **_fields(entry, "OK", None))

    def refused(self, entry: Entry, reason: Reason) -> None:
        """The gateway answered in tritonserver's place."""
        expired_there = reason is Reason.EXPIRED and entry.turn is not None
        if reason is not Reason.DIED and not expired_there:
            self._metrics.rejected.labels(entry.model, reason.label).inc()
        self._failed(entry, reason.code.name, reason.label)

    def failed(self, entry: Entry, code: str) -> None:
        """tritonserver answered with an error."""
        self._failed(entry, code, "answer")

    def left(self, entry: Entry) -> None:
        """Its caller has gone."""
        self._failed(entry, "CANCELLED", "cancelled")

    def _failed(self, entry: Entry, code: str, reason: str) -> None:
        self._metrics.requests.labels(entry.model, code).inc()
        if entry.turn:
            self._metrics.queue_seconds.labels(entry.model).observe(entry.queue_seconds)
        kind = entry.model, code, reason
        if kind in self._unwritten:
            self._unwritten[kind] += 1
            return
        event("request", **_fields(entry, code, reason))
        self._hold(kind)

    def _hold(self, kind: tuple[str, str, str]) -> None:
        self._unwritten[kind] = 0
        asyncio.get_running_loop().call_later(_SECONDS_BETWEEN_LINES, self._sum_up, kind)

    def _sum_up(self, kind: tuple[str, str, str]) -> None:
        count = self._unwritten.pop(kind)
        if count:
            model, code, reason = kind
            event("request", model=model, code=code, reason=reason, count=count)
            self._hold(kind)


def _fields(entry: Entry, code: str, reason: str | None) -> dict[str, Any]:
    return {
        "id": entry.id,
        "model": entry.model,
        "items": entry.items,
        "code": code,
        "reason": reason,
        "queue_ms": round(entry.queue_seconds * 1000, 1),
        "ms": round((time.perf_counter() - entry.begin) * 1000, 1),
    }
