"""A captioned image, a source of many, and the count of what a source leaves out."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, Protocol

__all__ = ["LeftOut", "Pair", "Pairs"]

_NAMED = 3  # samples named for each reason; more would not be readable in a line


class Pair(NamedTuple):
    """An image and its caption."""

    image: bytes
    """The encoded image, not yet decoded."""
    caption: str


class LeftOut:
    """The count of files that are no part of a pair; with two files per pair, all files.

    ``str(left_out)`` lists the reasons and names the first samples of each.

    Attributes:
        samples: the number of samples that are no pair, by the reason.
        files: the number of files of these samples.
        others: the number of files that belong to no sample, by their extension.
    """

    def __init__(self) -> None:
        self.samples: Counter[str] = Counter()
        self.files = 0
        self.others: Counter[str] = Counter()
        self._named: dict[str, list[str]] = {}

    def add(self, where: str, reason: str, files: int) -> None:
        """Count a sample of ``files`` files, found at ``where``."""
        self.samples[reason] += 1
        self.files += files
        named = self._named.setdefault(reason, [])
        if len(named) < _NAMED:
            named.append(where)

    def __str__(self) -> str:
        """Return the number of samples for each reason, with the names of the first."""
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
    """Pairs in a fixed order; ``pairs.read(0)`` reads one of them alone."""

    images: list[str]
    """The name of each pair's image; pairs of equal names have the same image."""
    left_out: LeftOut
    """The count of samples and files that are no pair."""
    fingerprint: str
    """A digest of the pairs and their order: a training resumes only with equal pairs."""

    def __len__(self) -> int:
        """Return the number of pairs."""

    def where(self, index: int) -> str:
        """Return the place of a pair for a message: the file, the line, the image."""

    def read(self, index: int) -> Pair:
        """Read one pair from the disk.

        Raises:
            OSError: the file of the pair is gone.
            InvalidText: the caption is no text.
        """
