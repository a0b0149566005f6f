"""The time of a model's last answer, and the bounds of its silence."""

from __future__ import annotations

import time
from collections import deque

__all__ = ["LONGEST_SILENCE", "ModelLiveness"]

LONGEST_SILENCE = 120.0
"""The longest silence in seconds, even of a model that computes."""

_REMEMBERED = 20
_LEAST_PATIENCE = 5.0
_SLOWER = 4.0
"""The factor by which an answer may be slower than the slowest recent answer."""
_LEAST_PAUSE, _LONGEST_PAUSE = 1.0, 10.0
_SHARE = 0.02
"""The share of a model's time for probes, which the callers of both models lose."""


class ModelLiveness:
    """The signs of life of one model.

    >>> liveness = ModelLiveness(0.05)
    >>> liveness.answered()
    >>> liveness.late
    False

    Args:
        seconds: the duration of the first answer.
    """

    def __init__(self, seconds: float) -> None:
        self.answers = 0
        """The number of answers."""
        self.asked = False
        """Whether the model has a probe to answer."""
        self.error: str | None = None
        """The error since the last right answer; None without an error."""
        self._waits: deque[float] = deque([seconds], _REMEMBERED)
        self._last = time.monotonic()

    def answered(self, seconds: float | None = None) -> None:
        """Note an answer to a call, or to a probe after ``seconds`` seconds."""
        self.answers += 1
        self.error = None
        self._last = time.monotonic()
        if seconds is not None:
            self._waits.append(seconds)

    def slow(self, seconds: float) -> None:
        """Note that the model still computes an answer after ``seconds`` seconds."""
        self._waits.append(seconds)

    @property
    def age(self) -> float:
        """The seconds since the last answer."""
        return time.monotonic() - self._last

    @property
    def patience(self) -> float:
        """The seconds without an answer after which a model with a request counts as hung."""
        return min(LONGEST_SILENCE, max(_LEAST_PATIENCE, _SLOWER * max(self._waits)))

    @property
    def pause(self) -> float:
        """The seconds without an answer after which to probe the model."""
        return min(_LONGEST_PAUSE, max(_LEAST_PAUSE, self._waits[-1] / _SHARE))

    @property
    def late(self) -> bool:
        """Whether an answer, at least to a probe, is overdue."""
        return self.age > self.pause + self.patience
