"""The boxes of which AVIF and HEIF files are made, and the numbers in them."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from align_zoo.inputs.cost.judge import Judge

__all__ = ["Box", "Numbers", "boxes", "contents"]

Box = tuple[bytes, int, int]
"""Type of a box, and where its content begins and ends."""


def boxes(data: bytes, at: int, end: int, judge: Judge) -> Iterator[Box]:
    """Yield the boxes that stand one after the other.

    Raises:
        InvalidImage: too many boxes.
        IndexError, struct.error: a box is damaged.
    """
    while at + 8 <= end:
        judge.parts()
        size, kind = struct.unpack_from(">I4s", data, at)
        begin = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, begin)
            begin += 8
        elif size == 0:
            size = end - at
        if size < begin - at:
            raise IndexError("a box that is smaller than its head")
        at = min(at + size, end)
        yield kind, begin, at


def contents(
    wanted: bytes, data: bytes, at: int, end: int, judge: Judge
) -> Iterator[tuple[int, int]]:
    """Yield where the content of each box of a type begins and ends."""
    for kind, begin, stop in boxes(data, at, end, judge):
        if kind == wanted:
            yield begin, stop


class Numbers:
    """Whole numbers of any number of bytes, one after the other."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data, self.at, self._end = data, at, end

    def __call__(self, width: int) -> int:
        """Read the next number, of ``width`` bytes.

        Raises:
            IndexError: the bytes end before it does.
        """
        self.at += width
        if self.at > self._end:
            raise IndexError("the box is cut")
        return int.from_bytes(self._data[self.at - width : self.at], "big")
