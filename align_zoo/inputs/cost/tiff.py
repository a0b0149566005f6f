"""TIFF: the directory's values, the size of a tile, and the compression."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from align_zoo.errors import InvalidImage
from align_zoo.inputs.cost.judge import Judge

__all__ = ["judge_tiff"]

_COMPRESSION, _STRIPS, _TILES = 259, 273, 324
_TILE_SIZE = (322, 323)
_DIRECTORIES = (34665, 34853, 40965)
"""Tags of EXIF's directories, which Pillow reads as a whole when the pixels are loaded."""

_NAMES = {1: "none", 5: "LZW", 7: "JPEG", 8: "deflate", 32773: "PackBits", 32946: "deflate"}
"""The compressions of everyday images. Any further compression is one more parser of hostile
bytes. Of a fax, libtiff reports every bad row, which makes millions of lines in a log.
"""

_AS_BYTES = (1, 2, 7)
"""Types whose values Pillow keeps as bytes; Pillow makes a Python object of any other value."""
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q"}


def judge_tiff(data: bytes, judge: Judge) -> None:
    """Judge the values of the first directory and of EXIF's, the tiles, and the compression.

    Raises:
        InvalidImage: there are too many values, a tile is too large, or the compression is not
            accepted.
    """
    file = _File(data, "<" if data[:2] == b"II" else ">", big=data[2] == 43)
    tile = [1, 1]
    for tag, value in file.entries(file.first(), judge):
        if tag == _COMPRESSION and value not in _NAMES:
            raise InvalidImage(
                f"the TIFF image is compressed by method {value}; accepted: "
                f"{', '.join(dict.fromkeys(_NAMES.values()))}",
                "format",
            )
        if tag in _TILE_SIZE:  # the largest of several: a decoder may take any of them
            side = _TILE_SIZE.index(tag)
            tile[side] = max(tile[side], value)
            judge.size(*tile)
        if tag in _DIRECTORIES:
            for _ in file.entries(value, judge):
                pass


@dataclass(frozen=True)
class _File:
    data: bytes
    order: str
    """The order of bytes, in struct's notation."""
    big: bool
    """Whether the file is a BigTIFF, with offsets of 8 bytes."""

    def first(self) -> int:
        """Return the place of the first directory."""
        return self._read("Q" if self.big else "I", 8 if self.big else 4)[0]

    def entries(self, at: int, judge: Judge) -> Iterator[tuple[int, int]]:
        """Yield tag and first value of the entries of whole numbers; count all entries."""
        head = "HHQ8s" if self.big else "HHI4s"
        (count,) = self._read("Q" if self.big else "H", at) or (0,)
        at += 8 if self.big else 2
        for _ in range(count):
            judge.parts()
            entry = self._read(head, at)
            if not entry:  # Pillow continues with the entries up to here
                return
            at += struct.calcsize(self.order + head)
            tag, kind, values, field = entry
            if kind not in _AS_BYTES or tag in (_STRIPS, _TILES):
                judge.parts(values)
            if value := self._first_value(kind, values, field):
                yield tag, value[0]

    def _first_value(self, kind: int, values: int, field: bytes) -> tuple[int, ...]:
        code = _INTEGERS.get(kind)
        if code is None or not values:
            return ()
        if values * struct.calcsize(code) <= len(field):
            return struct.unpack_from(self.order + code, field)
        (place,) = struct.unpack(self.order + ("Q" if self.big else "I"), field)
        return self._read(code, place)

    def _read(self, form: str, at: int) -> tuple:
        """Unpack values; nothing if the file has no such place."""
        size = struct.calcsize(self.order + form)
        part = self.data[max(at, 0) : max(at, 0) + size]
        return struct.unpack(self.order + form, part) if len(part) == size else ()
