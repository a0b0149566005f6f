"""What a module shares between all threads, and what a fork makes of it."""

from __future__ import annotations

import os
from typing import Callable, Generic, TypeVar

__all__ = ["ForkLocal"]

T = TypeVar("T")


class ForkLocal(Generic[T]):
    """A lock, or several: other ones in each child of a fork.

    A fork copies a lock as another thread holds it, but not the thread that would release it.

    Args:
        make: makes one.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self.value = make()
        """This process's."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self.value = self._make()
