"""How long one item takes, as measured over the last seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["Pace"]

_MEMORY = 3.0
"""Seconds after which what was measured counts a third (1/e)."""


class Pace:
    """Working time and finished items, both fading alike, so that their ratio follows changes.

    Args:
        clock: seconds, as ``time.monotonic``.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._then = clock()
        self._seconds = 0.0
        self._items = 0.0
        self._works = False

    def works(self, now: bool) -> None:
        """From now on there is something to work on, or there is not."""
        self._advance()
        self._works = now

    def finished(self, items: int) -> None:
        """So many items are done."""
        self._advance()
        self._items += items

    def seconds_per_item(self) -> float:
        """0 as long as nothing is known."""
        self._advance()
        return self._seconds / self._items if self._items else 0.0

    def _advance(self) -> None:
        now = self._clock()
        fading = math.exp((self._then - now) / _MEMORY)
        self._then = now
        self._items *= fading
        self._seconds *= fading
        if self._works:
            # The time since then, its first moments faded already.
            self._seconds += _MEMORY * (1 - fading)
