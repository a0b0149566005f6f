"""The outcome of each request, in metrics and in the log; never the request's content."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from align_zoo.errors import reason_of
from align_zoo.serving.gateway.metrics import Metrics
from align_zoo.serving.gateway.refusal import Reason
from align_zoo.serving.log import event, is_shown

__all__ = ["Entries", "Entry", "Journal", "fresh_id", "shown_id"]

_SECONDS_BETWEEN_LINES = 1.0
_IDS_A_LINE = 100
"""A line stays below 8 KB: some log readers split longer lines."""


def fresh_id() -> str:
    """Make an id for a request without an id."""
    return secrets.token_hex(8)


def shown_id(text: str) -> str:
    """Return a caller's id as printable ASCII of at most 64 characters, for headers and the log."""
    return "".join(char if "!" <= char <= "~" else "?" for char in text[:64])


@dataclass
class Entry:
    """One request, from its arrival to its outcome."""

    id: str = ""
    model: str = ""
    """The model's name; empty if the server has no such model."""
    items: int = 1
    begin: float = field(default_factory=time.perf_counter)
    whole: float | None = None
    """The time when the whole request had arrived, and its waiting began."""
    turn: float | None = None
    """The time when the waiting ended."""
    logged: bool = False
    """Whether the log names the request, now or within a second."""

    def it_waits(self) -> None:
        """Note that the whole request has arrived."""
        self.whole = time.perf_counter()

    def its_turn(self) -> None:
        """Note that the request goes to tritonserver now."""
        self.turn = time.perf_counter()

    @property
    def queue_seconds(self) -> float:
        """The seconds of waiting; up to now, if the request still waits."""
        return (self.turn or time.perf_counter()) - self.whole if self.whole else 0.0


@dataclass
class Entries:
    """The journal's entries of a request: one for each model that it asks, once that is known."""

    first: Entry
    models: dict[str, Entry] = field(default_factory=dict)

    def add(self, model: str, items: int) -> None:
        """Note that the request asks a model; it may do so several times."""
        first = self.first
        if model in self.models:
            self.models[model].items += items
        else:
            self.models[model] = Entry(first.id, model, items, first.begin, first.whole)

    def each(self, note: Callable[..., None], *details: Any) -> None:
        """Call a method of the journal with each entry."""
        for entry in self.models.values() or [self.first]:
            note(entry, *details)
            self.first.logged |= entry.logged


class Journal:
    """Counts and logs the outcomes of requests. For one event loop.

    >>> journal = Journal(metrics)
    >>> journal.refused(Entry(), Reason.MALFORMED)

    Requests that fail alike share one line a second, or one line per hundred requests: many
    failures must not fill the disk. The line has the ids that callers were shown.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._unwritten: dict[_Kind, _Fold] = {}

    def answered(self, entry: Entry) -> None:
        """Note a successful answer; count the request after the answer has been sent."""
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
        """Note that the gateway answered in tritonserver's place."""
        expired_there = reason is Reason.EXPIRED and entry.turn is not None
        if reason is not Reason.DIED and not expired_there:
            self._metrics.rejected.labels(entry.model, reason.label).inc()
        self._failed(entry, reason.code.name, reason.label)

    def failed(self, entry: Entry, code: str, words: str) -> None:
        """Note that tritonserver answered with an error; ``words`` is its message."""
        known = reason_of(words) if code == "INVALID_ARGUMENT" else None
        self._failed(entry, code, known or "answer")

    def left(self, entry: Entry) -> None:
        """Note that the caller has gone."""
        self._failed(entry, "CANCELLED", "cancelled")

    def _failed(self, entry: Entry, code: str, reason: str) -> None:
        self._metrics.requests.labels(entry.model, code).inc()
        if entry.turn:
            self._metrics.queue_seconds.labels(entry.model).observe(entry.queue_seconds)
        entry.logged = True
        kind = entry.model, code, reason
        if fold := self._unwritten.get(kind):
            fold.add(entry.id)
            if len(fold.ids) == _IDS_A_LINE:
                fold.write(kind)
            return
        event("request", **_fields(entry, code, reason))
        self._hold(kind)

    def close(self) -> None:
        """Write the lines that are held back."""
        for kind, fold in self._unwritten.items():
            fold.write(kind)

    def _hold(self, kind: _Kind) -> None:
        self._unwritten[kind] = _Fold()
        asyncio.get_running_loop().call_later(_SECONDS_BETWEEN_LINES, self._sum_up, kind)

    def _sum_up(self, kind: _Kind) -> None:
        fold = self._unwritten.pop(kind)
        if fold.written or fold.count:
            fold.write(kind)
            self._hold(kind)


_Kind = tuple[str, str, str]
"""Model, code and reason."""


class _Fold:
    """Requests of one kind that share a line."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.count = 0
        self.written = False
        """Whether a line has been written already."""

    def add(self, id: str) -> None:
        self.count += 1
        if id:
            self.ids.append(id)

    def write(self, kind: _Kind) -> None:
        if self.count:
            model, code, reason = kind
            ids: dict[str, Any] = {"ids": self.ids} if self.ids else {}
            event("request", model=model, code=code, reason=reason, count=self.count, **ids)
            self.ids, self.count, self.written = [], 0, True


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
