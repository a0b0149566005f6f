"""An attribute that is made when it is first asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

__all__ = ["once"]

T = TypeVar("T")


class once(cached_property[T]):
    """Made by the first thread that asks; the others wait for it.

    Since Python 3.12 each thread that finds no ``cached_property`` makes one.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        super().__init__(make)
        self._making = threading.RLock()

    def __get__(self, instance: Any, owner: type[Any] | None = None) -> T:  # type: ignore[override]
        with self._making:
            made: T = super().__get__(instance, owner)
            return made
