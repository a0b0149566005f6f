"""Locks that stay usable after a fork."""

from __future__ import annotations

import os
from typing import Callable, Generic, TypeVar

__all__ = ["ForkLocal"]

T = TypeVar("T")


class ForkLocal(Generic[T]):
    """A value, such as a lock, that each child of a fork makes again for itself.

    A fork copies a lock that another thread holds, but not the thread that would release it.

    Args:
        make: makes the value.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self.value = make()
        """The value of the current process."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self.value = self._make()
