"""Servers of the same models, and the choice of the server for the next request."""

from __future__ import annotations

import threading
import time
from typing import Callable, Collection, List, Sequence

from align_client.addresses import Address

__all__ = ["Replica", "Replicas"]

_FIRST_PAUSE = 0.5
"""The rest after the first failure, in seconds."""
_LONGEST_PAUSE = 5.0
"""The longest rest, in seconds."""


class Replica:
    """One server, and its failures since its last answer."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.url = address.url
        self.failures = 0
        """The number of failures since the last answer."""
        self.rests_until = 0.0
        """The time at which the replica may be tried; infinity while a request tries it."""


class Replicas:
    """Replicas that take turns, except those that failed lately. Threads may share the object.

    A replica that failed rests for half a second, and twice as long after each further failure,
    up to 5 s. Then a single request tries the replica. Other requests follow if the replica
    answers.

    Args:
        addresses: the addresses of the servers, at least one.
        clock: returns seconds that never decrease.
    """

    def __init__(
        self, addresses: Sequence[Address], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.replicas = [Replica(address) for address in addresses]
        self.name = ", ".join(address.url for address in addresses)
        self.answered_before = False
        """Whether any replica has ever answered, if only with an error."""
        self._clock = clock
        self._turn = 0
        self._lock = threading.Lock()

    def choose(self, tried: Collection[Replica] = ()) -> Replica:
        """Return the next replica: not in ``tried`` if possible, then not resting if possible."""
        with self._lock:
            now = self._clock()
            best = min(self._in_turn(), key=lambda r: (r in tried, r.rests_until > now))
            self._take_turn(best)
            if best.failures and best.rests_until <= now:
                best.rests_until = float("inf")
            return best

    def choose_for_all(self) -> Replica:
        """Return the next replica for all requests of a call, which may turn out to send none.

        So the choice does not count as the single trial after a rest.
        """
        with self._lock:
            now = self._clock()
            best = min(self._in_turn(), key=lambda r: (r.failures > 0, r.rests_until > now))
            self._take_turn(best)
            return best

    def another(self, tried: Collection[Replica], *, resting: bool = False) -> bool:
        """Return whether there is a replica not in ``tried``; with ``resting`` it may rest."""
        with self._lock:
            now = self._clock()
            return any(r not in tried and (resting or r.rests_until <= now) for r in self.replicas)

    def best_first(self) -> List[Replica]:
        """Return all replicas, those that do not rest first."""
        with self._lock:
            now = self._clock()
            return sorted(self._in_turn(), key=lambda r: r.rests_until > now)

    def answered(self, replica: Replica) -> None:
        """Note that the replica works."""
        self.answered_before = True
        with self._lock:
            replica.failures, replica.rests_until = 0, 0.0

    def failed(self, replica: Replica) -> None:
        """Note that the replica failed; failures of other requests during its rest do not count."""
        with self._lock:
            if self._clock() < replica.rests_until < float("inf"):
                return
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(replica.failures, 10))
            replica.failures += 1
            replica.rests_until = self._clock() + pause

    def left_open(self, replica: Replica) -> None:
        """Note that the caller ended a request before it showed whether the replica works."""
        with self._lock:
            if replica.rests_until == float("inf"):
                replica.rests_until = self._clock()

    def _take_turn(self, replica: Replica) -> None:
        self._turn = (self.replicas.index(replica) + 1) % len(self.replicas)

    def _in_turn(self) -> List[Replica]:
        return self.replicas[self._turn :] + self.replicas[: self._turn]
