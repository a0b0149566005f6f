"""Decides when a failed request is sent again."""

from __future__ import annotations

import random
from typing import Callable, Optional

from align_client.call import Call
from align_client.rules import Again

__all__ = ["Retries"]

_FIRST = 0.1
"""The first pause, in seconds."""
_LONGEST = 2.0
"""The longest pause, in seconds."""
_SHORTEST = 0.1
"""The least time for a try, in seconds. A try that the deadline cuts off would end the call with
DeadlineExceeded instead of the refusals before it."""


class Retries:
    """The tries of one request.

    gRPC's own retries are not used: they silently leave out a request larger than their buffer,
    and cannot distinguish errors that Triton distinguishes only by text.

    Args:
        call: the public call, whose deadline bounds all tries together.
        jitter: returns a uniform number from 0 to 1, so that requests that were refused together
            do not come back together.
    """

    def __init__(self, call: Call, jitter: Callable[[], float] = random.random) -> None:
        self._call = call
        self._jitter = jitter
        self._rounds = 0
        self._died = call.died
        self._hope = False

    def pause(self, again: Again, *, another: bool, answered_before: bool) -> Optional[float]:
        """Return the seconds until the next try, or None if the request is not sent again.

        The pause is a random half to whole of 0.1 s, then of 0.2 s, and so on up to 2 s. It is 0
        if another server can be asked. It is None if the next try would begin less than 0.1 s
        before the deadline, or if none of the servers asked so far can be expected to answer.

        Args:
            again: whether the last failure allows another try.
            another: whether there is a server that was not asked since the last pause.
            answered_before: whether any server has ever answered this client.
        """
        if not self._call.retries or again is Again.NEVER:
            return None
        if again is Again.ONCE:
            if self._died:
                return None
            self._died = True
        nobody = again is Again.UNREACHED and not answered_before
        self._hope |= not (nobody or again is Again.ELSEWHERE)
        if another:
            return 0.0 if self._call.deadline.left() > 0 else None
        if not self._hope:
            return None
        longest = min(_LONGEST, _FIRST * 2 ** min(self._rounds, 10))
        self._rounds += 1
        seconds = longest * (1 + self._jitter()) / 2
        return seconds if seconds + _SHORTEST < self._call.deadline.left() else None
