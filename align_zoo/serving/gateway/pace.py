"""How long one item takes, as measured over the last seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["Pace"]

_MEMORY = 3.0
"""Seconds of work after which what was measured counts a third (1/e)."""


class Pace:
    """Working time and finished items, both fading alike, so that their ratio follows changes.

    Time without work does not count, and nothing is forgotten in it.

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
        """Seconds an item, when the last one was finished."""
        self._unfinished = 0.0
        """Seconds of work since then, or since there is work again."""

    def works(self, now: bool) -> None:
        """From now on there is something to work on, or there is not."""
        self._advance()
        if not self._works:
            self._unfinished = 0.0
        self._works = now

    def finished(self, items: int) -> None:
        """So many items are done."""
        self._advance()
        if items:
            self._items += items
            self._measured = self._seconds / self._items
            self._unfinished = 0.0

    def seconds_per_item(self, at_work: int) -> float:
        """As it was, or as it must be by now if ``at_work`` items have not been finished yet."""
        self._advance()
        return max(self._measured, self._unfinished / max(1, at_work))

    def _advance(self) -> None:
        now = self._clock()
        passed, self._then = now - self._then, now
        if not self._works:
            return
        fading = math.exp(-passed / _MEMORY)
        self._items *= fading
        # The time since then, its first moments faded already.
        self._seconds = self._seconds * fading + _MEMORY * (1 - fading)
        self._unfinished += passed
