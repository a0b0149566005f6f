"""A captioned image, a source of many, and the count of what a source leaves out."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, Protocol

__all__ = ["LeftOut", "Pair", "Pairs"]

_NAMED = 3  # of each kind, so that a line stays readable


class Pair(NamedTuple):
    """A picture and its caption."""

    picture: bytes
    """An encoded picture, not yet looked at."""
    caption: str


class LeftOut:
    """What is there and is no pair: with the pairs' two files each, all files that there are.

    Attributes:
        samples: how many have a picture or a caption, and are not trained on, by the reason.
        files: how many files those samples have.
        others: files that belong to no sample, by their extension.
    """

    def __init__(self) -> None:
        self.samples: Counter[str] = Counter()
        self.files = 0
        self.others: Counter[str] = Counter()
        self._named: dict[str, list[str]] = {}

    def add(self, where: str, reason: str, files: int) -> None:
        """Count a sample."""
        self.samples[reason] += 1
        self.files += files
        named = self._named.setdefault(reason, [])
        if len(named) < _NAMED:
            named.append(where)

    def __str__(self) -> str:
        """Say how many there are of each kind, and name the first of them."""
        kinds = []
        for reason, count in self.samples.most_common():
            named = ", ".join(self._named[reason])
            more = ", ..." if count > _NAMED else ""
            kinds.append(f"{count:,} sample{'s'[: count > 1]} with {reason} ({named}{more})")
        if self.others:
            common = [f"{count:,} {kind}" for kind, count in self.others.most_common(_NAMED)]
            more = ", ..." if len(self.others) > _NAMED else ""
            kinds.append(f"other files: {', '.join(common)}{more}")
        return "; ".join(kinds)


class Pairs(Protocol):
    """Pairs in a fixed order, each of which can be had alone."""

    pictures: list[str]
    """The picture of each pair, by a name; pairs of equal names show the same picture."""
    left_out: LeftOut
    """What is no pair."""
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
