"""The vectors of the strings that were asked for lately."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

import numpy as np

__all__ = ["Recent"]


class Recent:
    """Keeps the most recently used entries; for one thread, as a served model has it.

    Args:
        size: how many.
        longest: characters of a key, at most; entries with longer ones are not kept, so that
            what is kept has a bound in bytes, too.
    """

    def __init__(self, size: int, *, longest: int) -> None:
        self._size, self._longest = size, longest
        self._entries: OrderedDict[str, np.ndarray] = OrderedDict()

    def find(self, keys: Iterable[str]) -> dict[str, np.ndarray]:
        """Those of ``keys`` that are kept."""
        found = {key: self._entries[key] for key in keys if key in self._entries}
        for key in found:
            self._entries.move_to_end(key)
        return found

    def keep(self, entries: Mapping[str, np.ndarray]) -> None:
        """Add entries; the least recently used go."""
        # Copies: a vector is a view that would keep its whole batch alive.
        self._entries.update({k: v.copy() for k, v in entries.items() if len(k) <= self._longest})
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)
