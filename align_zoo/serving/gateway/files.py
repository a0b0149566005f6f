"""How much of the files that this process may open its connections take.

At the limit nothing could be accepted or asked for any more, and asyncio would log each attempt.
"""

from __future__ import annotations

import resource
import socket
from typing import Any

__all__ = ["LimitedSocket", "share"]


_MOST_FILES = 2**16
"""Containers may often open a million, and connections take memory: with TLS 100 KB each."""


def share(part: float) -> int:
    """So much of the limit, in files; of 65,536 where more may be open."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return int(part * (_MOST_FILES if limit == resource.RLIM_INFINITY else min(limit, _MOST_FILES)))


class LimitedSocket(socket.socket):
    """Closes at once what it accepts while too many files are open, whatever they are."""

    most: int
    """Files, with which it still accepts."""

    def accept(self) -> tuple[socket.socket, Any]:
        """As of ``socket``; a ConnectionAbortedError if it was closed, as asyncio expects it."""
        connection, address = super().accept()
        # The lowest number that is free: so many files are open.
        if connection.fileno() >= self.most:
            connection.close()
            raise ConnectionAbortedError
        return connection, address

    def dup(self) -> LimitedSocket:
        """Another one on the same port."""
        other = super().dup()
        other.most = self.most
        return other
