"""What all requests of one public call share."""

from __future__ import annotations

import time
from typing import NamedTuple, Optional

from align_client.replicas import Replica

__all__ = ["Call", "Deadline"]


class Deadline:
    """The moment until which one public call may take.

    Args:
        timeout: seconds from now.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._end = time.monotonic() + timeout

    def left(self) -> float:
        """Seconds left, 0 or less when it has passed."""
        return self._end - time.monotonic()


class Call(NamedTuple):
    """One public call."""

    deadline: Deadline
    retries: bool = True
    """Whether a request is sent again where that is safe."""
    replica: Optional[Replica] = None
    """Whom all its requests ask first; None: each whose turn it is."""

    def at(self, replica: Optional[Replica]) -> Call:
        """The same call, asking this one."""
        return self._replace(replica=replica)
