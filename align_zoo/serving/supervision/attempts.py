"""The number of attempts after failures, and the pauses between them."""

from __future__ import annotations

import random

from align_zoo.errors import AlignZooError

__all__ = ["Attempts"]

_HEALTHY_SECONDS = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


class Attempts:
    """Counts consecutive failures.

    >>> attempts = Attempts(limit=5)
    >>> pause = attempts.failed("no answer")

    Args:
        limit: the number of failures that raises an error.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._failures = 0
        self._attempts = 0
        """The attempts since the last healthy minute, also after uncounted failures."""

    def failed(self, reason: str, *, after: float = 0.0) -> float:
        """Count a failure.

        Args:
            reason: the reason, for the error.
            after: the healthy seconds before the failure, as in :meth:`lived`.

        Returns:
            The seconds to wait before the next attempt: 0 at first, then 0.5 to 1, 1 to 2,
            2 to 4 ... at most 30. The pause is random, so that services that failed together do
            not retry together.

        Raises:
            AlignZooError: the failure reaches the limit.
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
        """Note an immediate attempt after an uncounted failure; the next attempt has a pause."""
        self._attempts = max(self._attempts, 1)

    def lived(self, seconds: float) -> None:
        """Note the healthy seconds; after a minute the next failure counts as the first."""
        if seconds >= _HEALTHY_SECONDS:
            self.forget()

    def forget(self) -> None:
        """Forget all failures."""
        self._failures = self._attempts = 0
