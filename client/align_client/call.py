"""The deadline and the options that all requests of one public call share."""

from __future__ import annotations

import time
from typing import NamedTuple, Optional

from align_client.replicas import Replica

__all__ = ["Call", "Deadline"]


class Deadline:
    """The moment at which one public call must end.

    Args:
        timeout: seconds from now.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        """The seconds from the start of the call to the deadline."""
        self._end = time.monotonic() + timeout

    def left(self) -> float:
        """Return the seconds left; 0 or less after the deadline."""
        return self._end - time.monotonic()


class Call(NamedTuple):
    """The options of one public call."""

    deadline: Deadline
    """The deadline of all requests and retries together."""
    retries: bool = True
    """Whether a failed request is sent again where that is safe."""
    replica: Optional[Replica] = None
    """The replica that all requests ask first; None: the replicas take turns."""
    died: bool = False
    """Whether a server has died with the item of this request in a pack: no third server gets it.
    """

    def at(self, replica: Optional[Replica]) -> Call:
        """Return the same call with all requests to ``replica``."""
        return self._replace(replica=replica)
