"""Captioned pictures, wherever they lie: a CSV or webdataset shards."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

from align_zoo.home import at_home
from align_zoo.training.errors import TrainingError

__all__ = ["Pair", "Pairs", "open_pairs"]


class Pair(NamedTuple):
    """A picture and its caption."""

    picture: bytes
    """An encoded picture, not yet looked at."""
    caption: str


class Pairs(Protocol):
    """Pairs in a fixed order, each of which can be had alone."""

    pictures: list[str]
    """The picture of each pair, by a name; pairs of equal names show the same picture."""
    fingerprint: str
    """Equal for equal pairs in equal order: a training goes on with none but its own."""

    def __len__(self) -> int:
        """How many."""

    def where(self, index: int) -> str:
        """The place of a pair as the reader finds it: the file, the line, the picture."""

    def read(self, index: int) -> Pair:
        """One pair from the disk.

        Raises:
            OSError: its file has gone.
            InvalidText: its caption is no text.
        """


def open_pairs(data: str | Path) -> Pairs:
    """The pairs of a CSV, or of webdataset shards.

    Args:
        data: a path that ends in ``.csv``; or that of a ``.tar``, a glob (``shards/*.tar``) or
            a brace pattern (``shards/{000..127}.tar``).

    Raises:
        TrainingError: it does not exist, holds no pairs, or a pair lacks its picture or caption.
    """
    from align_zoo.training.csv_pairs import CsvPairs

    name = str(data)
    if name.lower().endswith(".csv"):
        return CsvPairs(at_home(name, TrainingError))
    if name.lower().endswith(".tar"):
        from align_zoo.training.webdataset_pairs import WebdatasetPairs

        return WebdatasetPairs(name)
    raise TrainingError(f"{name} is neither a .csv nor .tar shards")
