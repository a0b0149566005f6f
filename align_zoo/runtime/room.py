"""A bound on what several threads hold at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Room"]


class Room:
    """Who wants more than there is left waits; who wants more than there is at all gets all.

    Nobody takes what another waits for: who comes later waits behind him, however little he wants.

    Args:
        size: of it, in whatever it is of.
    """

    def __init__(self, size: int) -> None:
        self._size = self._left = size
        self._turn, self._changed = threading.Lock(), threading.Condition()

    @contextmanager
    def take(self, wanted: int) -> Iterator[None]:
        """So much of it, for the time of a block."""
        wanted = min(wanted, self._size)
        with self._turn, self._changed:
            self._changed.wait_for(lambda: wanted <= self._left)
            self._left -= wanted
        try:
            yield
        finally:
            with self._changed:
                self._left += wanted
                self._changed.notify()  # he whose turn it is
