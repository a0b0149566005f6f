"""A model's queue: the items with tritonserver, and the requests that wait in front of it.

The queue is here because tritonserver 2.51 lets requests lie for half a second as soon as its own
queue has a bound.

A request of one item passes the requests of several items that arrived shortly before: however many
callers send packs, a single image waits for little more than tritonserver has already. A request of
several items is passed only by those that arrive within half of the longest predicted wait.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

from align_zoo.serving.gateway.refusal import Reason, Refusal
from align_zoo.serving.gateway.throughput import Throughput

__all__ = ["ModelQueue"]


class _Size(NamedTuple):
    """The size of a request."""

    items: int
    bytes: int
    alone: Callable[[], bool]


@dataclass(eq=False)
class _Place:
    """A waiting request."""

    rank: tuple[float, int]
    """The order of the queue: the least is the next."""
    size: _Size
    turn: asyncio.Future[Refusal | int]
    """The items that the request counts as, once it is let through."""


class ModelQueue:
    """Lets the requests of one model through, small ones before large ones. For one event loop.

    >>> queue = ModelQueue(64, queue_size=1000, queue_bytes=2**29, queue_seconds=20.0)
    >>> async with queue.turn(items=2, size=120_000):
    ...     answer = await upstream.call_grpc(backend, path, request, seconds)

    Args:
        at_once: the most items that are let through together; a single request may have more.
        queue_size: the most requests that may wait.
        queue_bytes: the most bytes of all waiting requests.
        queue_seconds: the longest predicted wait of a request until tritonserver begins its
            computation.
        clock: seconds, as ``time.monotonic``.
    """

    def __init__(
        self,
        at_once: int,
        *,
        queue_size: int,
        queue_bytes: int,
        queue_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.at_once = at_once
        self._queue_size = queue_size
        self._queue_bytes = queue_bytes
        self._queue_seconds = queue_seconds
        self._clock = clock
        self._arrivals = 0
        self._throughput = Throughput(clock)
        self._through = 0
        self._waiting: list[_Place] = []
        """The waiting requests by their rank."""
        self._waiting_items = 0
        self._waiting_bytes = 0

    @property
    def waiting(self) -> int:
        """The number of waiting requests."""
        return len(self._waiting)

    @property
    def through(self) -> int:
        """The number of items that were let through and are not finished."""
        return self._through

    @asynccontextmanager
    async def turn(
        self, items: int, size: int = 0, alone: Callable[[], bool] = lambda: False
    ) -> AsyncIterator[None]:
        """Wait for the turn of a request, and hold its place for the time of the block.

        A cancelled request leaves the queue at once.

        Args:
            items: the number of items of the request.
            size: the size of the request in bytes.
            alone: returns whether the request must be let through alone; called at its turn.

        Raises:
            Refusal: at once, if too many requests wait, or the predicted wait is too long; later,
                if the predicted wait exceeds twice the longest wait, or by :meth:`refuse_waiting`.
        """
        items = min(items, self.at_once)
        room = await self._enter(_Size(items, size, alone))
        finished = items
        try:
            yield
        except (asyncio.CancelledError, Refusal):
            finished = 0  # the items were not computed to the end
            raise
        finally:
            self._leave(room, finished)

    def refuse_waiting(self, refusal: Refusal) -> None:
        """Refuse all waiting requests."""
        for place in list(self._waiting):
            self._send_away(place, refusal)

    def foreseen(self, items: int = 1) -> float:
        """Predict the seconds until tritonserver would begin with a new request of some items."""
        return self._seconds(self._ahead(self._rank(items)))

    def _rank(self, items: int) -> tuple[float, int]:
        self._arrivals += 1
        grace = self._queue_seconds / 2 * (1 - 1 / max(1, items))
        return self._clock() + grace, self._arrivals

    def _ahead(self, rank: tuple[float, int]) -> int:
        """Count the items that wait in front of a rank."""
        if not self._waiting or self._waiting[-1].rank < rank:
            return self._waiting_items
        return sum(place.size.items for place in self._waiting[: self._index(rank)])

    def _seconds(self, ahead: int) -> float:
        return (ahead + self._through) * self._throughput.seconds_per_item(self._through)

    def _index(self, rank: tuple[float, int]) -> int:
        return bisect_left(self._waiting, rank, key=lambda place: place.rank)

    async def _enter(self, size: _Size) -> int:
        """Wait for the turn; return the number of items that the request counts as."""
        rank = self._rank(size.items)
        self._refuse_if_too_long(rank)
        room = self._room(size)
        if (not self._waiting or rank < self._waiting[0].rank) and self._fits(room):
            self._let_through(room)
            return room
        self._refuse_if_full(size)
        place = _Place(rank, size, asyncio.get_running_loop().create_future())
        insort(self._waiting, place, key=lambda place: place.rank)
        self._waiting_items += size.items
        self._waiting_bytes += size.bytes
        try:
            outcome = await place.turn
        except asyncio.CancelledError:
            if self._forget(place):
                self._let_next_through()  # a large request may have held back small ones
            elif not place.turn.cancelled() and isinstance(outcome := place.turn.result(), int):
                self._leave(outcome, 0)  # its turn came at the moment it was cancelled
            raise
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    def _room(self, size: _Size) -> int:
        return self.at_once if size.alone() else size.items

    def _refuse_if_full(self, size: _Size) -> None:
        if self.waiting >= self._queue_size:
            raise Refusal(Reason.QUEUE_FULL, f"overloaded: {self.waiting} requests wait already")
        if self._waiting and self._waiting_bytes + size.bytes > self._queue_bytes:
            megabytes = self._waiting_bytes / 1e6
            raise Refusal(
                Reason.QUEUE_FULL, f"overloaded: requests of {megabytes:.0f} MB wait already"
            )

    def _refuse_if_too_long(self, rank: tuple[float, int]) -> None:
        seconds = self._seconds(self._ahead(rank))
        if seconds > self._queue_seconds:
            raise self._too_long(seconds)

    def _refuse_hopeless(self) -> None:
        # The requests were accepted before the first measurement, or the server has slowed down.
        # Refuse the last requests early, rather than answer all requests late.
        while (
            self._waiting
            and (seconds := self._seconds(self._waiting_items)) > 2 * self._queue_seconds
        ):
            self._send_away(self._waiting[-1], self._too_long(seconds))

    def _too_long(self, seconds: float) -> Refusal:
        return Refusal(
            Reason.QUEUE_SECONDS,
            f"overloaded: the request would wait {seconds:.1f} s, "
            f"longer than {self._queue_seconds:g} s",
            retry_seconds=max(1.0, seconds - self._queue_seconds),
        )

    def _fits(self, items: int) -> bool:
        return self._through == 0 or self._through + items <= self.at_once

    def _let_through(self, items: int) -> None:
        if self._through == 0:
            self._throughput.works(True)
        self._through += items

    def _leave(self, items: int, finished: int) -> None:
        self._throughput.finished(finished)
        self._through -= items
        self._let_next_through()
        self._refuse_hopeless()
        if self._through == 0:
            self._throughput.works(False)

    def _let_next_through(self) -> None:
        while self._waiting:
            place = self._waiting[0]
            if not place.turn.done():  # done: the request is cancelled, and its task has yet to run
                room = self._room(place.size)
                if not self._fits(room):
                    return
                self._let_through(room)
                place.turn.set_result(room)
            self._forget(place)

    def _send_away(self, place: _Place, refusal: Refusal) -> None:
        self._forget(place)
        if not place.turn.done():
            place.turn.set_result(refusal)

    def _forget(self, place: _Place) -> bool:
        """Remove a request; return whether it was waiting."""
        index = self._index(place.rank)
        if self._waiting[index : index + 1] != [place]:
            return False
        del self._waiting[index]
        self._waiting_items -= place.size.items
        self._waiting_bytes -= place.size.bytes
        return True
