"""When a request that failed is sent again."""

from __future__ import annotations

import random
from typing import Callable, Optional

from align_client.call import Call
from align_client.rules import Again

__all__ = ["Retries"]

_FIRST = 0.1
_LONGEST = 2.0
_SHORTEST = 0.1
"""A try has so long at least: one that the deadline cuts off would hide the refusals before it."""


class Retries:
    """The tries of one request.

    gRPC's own retries are not used: they give up in silence on a request larger than their
    buffer, and cannot tell apart what Triton says in words alone.

    Args:
        call: its deadline bounds all tries together.
        jitter: uniform from 0 to 1, so that not all who were refused at once come back at once.
    """

    def __init__(self, call: Call, jitter: Callable[[], float] = random.random) -> None:
        self._call = call
        self._jitter = jitter
        self._rounds = 0
        self._died = False
        self._hope = False

    def pause(self, again: Again, *, another: bool, answered_before: bool) -> Optional[float]:
        """Seconds until the next try, 0.1 s before the deadline; None if there is to be none.

        Half to whole of 0.1 s, of 0.2 s, and so on, up to 2 s; none before another server is
        asked. There is none where none of those asked so far will ever answer.

        Args:
            again: of the last failure.
            another: whether a server is left that was not asked since the last pause.
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
