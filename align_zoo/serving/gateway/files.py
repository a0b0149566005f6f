"""The share of the process's open files that connections may take.

At the limit of open files the process could neither accept nor open connections, and asyncio would
log each attempt.
"""

from __future__ import annotations

import resource
import socket
from typing import Any

__all__ = ["LimitedSocket", "share"]


_MOST_FILES = 2**16
"""Containers may often open a million files, but a connection takes memory: 100 KB with TLS."""


def share(part: float) -> int:
    """Return a share of the limit of open files, in files; the limit counts as 65,536 at most."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return int(part * (_MOST_FILES if limit == resource.RLIM_INFINITY else min(limit, _MOST_FILES)))


class LimitedSocket(socket.socket):
    """A listening socket that closes new connections while the process has too many open files."""

    most: int
    """The most open files with which the socket keeps a new connection."""

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection as ``socket`` does.

        Raises:
            ConnectionAbortedError: the connection was closed; asyncio ignores this error.
        """
        connection, address = super().accept()
        # The kernel gives the lowest free number: so many files are open.
        if connection.fileno() >= self.most:
            connection.close()
            raise ConnectionAbortedError
        return connection, address

    def dup(self) -> LimitedSocket:
        """Return a second socket on the same port."""
        other = super().dup()
        other.most = self.most
        return other
