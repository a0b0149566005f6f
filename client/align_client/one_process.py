"""Ties a client to the process that made it."""

from __future__ import annotations

import os
from typing import NoReturn

from align_client.errors import AlignClientError

__all__ = ["OneProcess", "Unpicklable"]


class OneProcess:
    """The process that made a client, and whether the client is closed.

    Args:
        name: the names of the servers, for messages.
    """

    def __init__(self, name: str) -> None:
        self.closed = False
        self._name = name
        self._pid = os.getpid()

    @property
    def here(self) -> bool:
        """Whether the current process is the one that made the client."""
        return os.getpid() == self._pid

    def check(self) -> None:
        """Raise AlignClientError if the client is closed or was made in another process."""
        if not self.here:
            raise AlignClientError(
                f"this client of {self._name} was made in another process, and its connections "
                "do not outlive a fork: make one in each process"
            )
        if self.closed:
            raise AlignClientError(f"this client of {self._name} is closed")


class Unpicklable:
    """A base class for objects that cannot be pickled or copied, because connections cannot."""

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} cannot be pickled or copied: make one in each process"
        )
