"""How long a model takes for an item, by which the wait of a request is predicted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["Throughput"]

_MEMORY = 3.0
"""The seconds of work after which a measurement counts a third (1/e)."""


class Throughput:
    """Measures the time of an item over the last seconds of work.

    Working time and finished items fade at the same rate, so that their ratio follows changes.
    Idle time neither counts nor fades a measurement.

    Args:
        clock: seconds, as ``time.monotonic``.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._then = clock()
        self._works = False
        self._seconds = 0.0
        self._items = 0.0
        self._measured = 0.0
        """The seconds per item, when the last item was finished."""
        self._unfinished = 0.0
        """The seconds of work since then, or since the last idle time."""

    def works(self, now: bool) -> None:
        """Note that the model begins to work, or becomes idle."""
        self._advance()
        if not self._works:
            self._unfinished = 0.0
        self._works = now

    def finished(self, items: int) -> None:
        """Note that ``items`` items are finished."""
        self._advance()
        if items:
            self._items += items
            self._measured = self._seconds / self._items
            self._unfinished = 0.0

    def seconds_per_item(self, at_work: int) -> float:
        """Return the seconds per item: the last measurement, or the lower bound from open work.

        The bound is the time since the last finished item, divided by ``at_work`` open items.
        """
        self._advance()
        return max(self._measured, self._unfinished / max(1, at_work))

    def _advance(self) -> None:
        now = self._clock()
        passed, self._then = now - self._then, now
        if not self._works:
            return
        fading = math.exp(-passed / _MEMORY)
        self._items *= fading
        # The integral of the fading weight over the time that has passed.
        self._seconds = self._seconds * fading + _MEMORY * (1 - fading)
        self._unfinished += passed
