"""When a model last answered, and how long its silence is to be borne."""

from __future__ import annotations

import time
from collections import deque

__all__ = ["LONGEST_SILENCE", "ModelLiveness"]

LONGEST_SILENCE = 120.0
"""Seconds; even of a model that computes."""

_REMEMBERED = 20
_LEAST_PATIENCE = 5.0
_SLOWER = 4.0
"""How much slower than lately an answer may be."""
_LEAST_PAUSE, _LONGEST_PAUSE = 1.0, 10.0
_SHARE = 0.02
"""Of a model's time that may go into probes: it is the time of the other model's callers."""


class ModelLiveness:
    """One model's signs of life.

    Args:
        seconds: what its first answer took.
    """

    def __init__(self, seconds: float) -> None:
        self.answers = 0
        """How many it has given."""
        self.asked = False
        """Whether it has something to answer."""
        self.error: str | None = None
        """What it answered instead, since its last right answer."""
        self._waits: deque[float] = deque([seconds], _REMEMBERED)
        self._last = time.monotonic()

    def answered(self, seconds: float | None = None) -> None:
        """It has answered a call; or a probe, after so many seconds."""
        self.answers += 1
        self.error = None
        self._last = time.monotonic()
        if seconds is not None:
            self._waits.append(seconds)

    def slow(self, seconds: float) -> None:
        """It is known to work on what it was asked so long ago."""
        self._waits.append(seconds)

    @property
    def age(self) -> float:
        """Seconds since its last answer."""
        return time.monotonic() - self._last

    @property
    def patience(self) -> float:
        """Seconds without an answer after which a model that was asked counts as hung."""
        return min(LONGEST_SILENCE, max(_LEAST_PATIENCE, _SLOWER * max(self._waits)))

    @property
    def pause(self) -> float:
        """Seconds without an answer after which to probe it."""
        return min(_LONGEST_PAUSE, max(_LEAST_PAUSE, self._waits[-1] / _SHARE))

    @property
    def late(self) -> bool:
        """Whether it should have answered by now, be it only a probe."""
        return self.age > self.pause + self.patience
