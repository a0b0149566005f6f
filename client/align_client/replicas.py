"""Servers of the same models, and which of them is asked next."""

from __future__ import annotations

import threading
import time
from typing import Callable, Collection, List, Sequence

from align_client.addresses import Address

__all__ = ["Replica", "Replicas"]

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 5.0


class Replica:
    """One address, and how it did lately."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.url = address.url
        self.failures = 0
        """In a row."""
        self.rests_until = 0.0
        """When it may be asked again; infinity while somebody tries it."""


class Replicas:
    """Asks each in turn, without those that failed lately. Safe to share between threads.

    One that failed is left alone for half a second, and twice as long with each failure, up to
    5 s; then a single request tries it, and the others follow if that is answered.

    Args:
        addresses: at least one.
        clock: seconds, growing.
    """

    def __init__(
        self, addresses: Sequence[Address], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.replicas = [Replica(address) for address in addresses]
        self.name = ", ".join(address.url for address in addresses)
        self.answered_before = False
        """Whether any of them has ever said a word."""
        self._clock = clock
        self._turn = 0
        self._lock = threading.Lock()

    def choose(self, tried: Collection[Replica] = ()) -> Replica:
        """The next one: not tried yet if possible, and not resting if possible."""
        with self._lock:
            now = self._clock()
            best = min(self._in_turn(), key=lambda r: (r in tried, r.rests_until > now))
            self._take_turn(best)
            if best.failures and best.rests_until <= now:
                best.rests_until = float("inf")
            return best

    def choose_for_all(self) -> Replica:
        """The next one for all requests of a call; no trial, for it may yet send none."""
        with self._lock:
            now = self._clock()
            best = min(self._in_turn(), key=lambda r: (r.failures > 0, r.rests_until > now))
            self._take_turn(best)
            return best

    def another(self, tried: Collection[Replica], *, resting: bool = False) -> bool:
        """Whether there is one that was not tried yet and does not rest; or, if it may, rests."""
        with self._lock:
            now = self._clock()
            return any(r not in tried and (resting or r.rests_until <= now) for r in self.replicas)

    def best_first(self) -> List[Replica]:
        """All of them, those that do not rest first."""
        with self._lock:
            now = self._clock()
            return sorted(self._in_turn(), key=lambda r: r.rests_until > now)

    def answered(self, replica: Replica) -> None:
        """It works."""
        self.answered_before = True
        with self._lock:
            replica.failures, replica.rests_until = 0, 0.0

    def failed(self, replica: Replica) -> None:
        """It does not work now. What others meet of the same fault, while it rests, counts once."""
        with self._lock:
            if self._clock() < replica.rests_until < float("inf"):
                return
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(replica.failures, 10))
            replica.failures += 1
            replica.rests_until = self._clock() + pause

    def left_open(self, replica: Replica) -> None:
        """The request ended without telling whether it works, by its caller's doing."""
        with self._lock:
            if replica.rests_until == float("inf"):
                replica.rests_until = self._clock()

    def _take_turn(self, replica: Replica) -> None:
        self._turn = (self.replicas.index(replica) + 1) % len(self.replicas)

    def _in_turn(self) -> List[Replica]:
        return self.replicas[self._turn :] + self.replicas[: self._turn]
