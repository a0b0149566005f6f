"""How often, and after which pauses, to try again."""

from __future__ import annotations

import random

from align_zoo.errors import AlignZooError

__all__ = ["Attempts"]

_HEALTHY_SECONDS = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


class Attempts:
    """Counts failures in a row.

    Args:
        limit: with so many it gives up.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._failures = 0
        self._attempts = 0
        """Since all was well: a failure that does not count is followed by an attempt, too."""

    def failed(self, reason: str, *, after: float = 0.0) -> float:
        """Count a failure.

        Args:
            reason: for the error.
            after: seconds that all was well before, as of :meth:`lived`.

        Returns:
            Seconds to wait before the next attempt: none at first, then 0.5 to 1, 1 to 2,
            2 to 4 ... at most 30. Not the same for all who have lost the same disk at once.

        Raises:
            AlignZooError: it is one too many.
        """
        self.lived(after)
        self._failures += 1
        self._attempts += 1
        if self._failures >= self._limit:
            raise AlignZooError(
                f"given up after {self._failures} failures without a healthy minute "
                f"between them; the last: {reason}"
            )
        if self._attempts == 1:
            return 0.0
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (self._attempts - 2))
        return pause * random.uniform(0.5, 1.0)

    def attempted(self) -> None:
        """Note an attempt at once, after a failure that does not count: pauses begin behind it."""
        self._attempts = max(self._attempts, 1)

    def lived(self, seconds: float) -> None:
        """Note how long all was well: a minute makes the next failure the first again."""
        if seconds >= _HEALTHY_SECONDS:
            self.forget()

    def forget(self) -> None:
        """What comes now has not failed yet."""
        self._failures = self._attempts = 0
