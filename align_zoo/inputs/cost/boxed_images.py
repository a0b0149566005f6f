"""The images that the box ``meta`` of AVIF and HEIF lists: coded, or put together of others."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from align_zoo.inputs.cost import av1
from align_zoo.inputs.cost.boxes import Box, Numbers, boxes
from align_zoo.inputs.cost.judge import Judge

__all__ = ["AV1", "HEVC", "Meta", "frames_pixels"]

AV1, HEVC = (b"av01",), (b"hvc1", b"hev1")
"""Types of coded images."""
_GRID, _OVERLAY = b"grid", b"iovl"
_DERIVED = (_GRID, _OVERLAY, b"iden")
_METADATA = (b"Exif", b"mime", b"uri ")
_HEVC_PADDING = 63
"""Pixels by which a side may be longer before it is cropped: HEVC codes whole blocks."""
_ONCE = (b"iinf", b"iloc", b"iprp", b"iref", b"idat", b"pitm")


@dataclass
class _Item:
    kind: bytes = b""
    content: bytes | None = None
    """The coded image; None where the file does not say where the item is."""
    sides: list[tuple[int, int]] = field(default_factory=list)
    """Width and height, as the item's properties tell."""


class Meta:
    """The images of a file, read from its box ``meta``.

    Raises:
        InvalidImage: a size is too large, or there are too many parts.
        IndexError, struct.error: the boxes are damaged.
    """

    def __init__(
        self, data: bytes, at: int, end: int, judge: Judge, codecs: tuple[bytes, ...]
    ) -> None:
        self._data, self._judge, self._codecs = data, judge, codecs
        self._items: dict[int, _Item] = {}
        self._uses: Counter[int] = Counter()
        """How often a decoder reads an item for other items."""
        self._parts: set[int] = set()
        """Items that are decoded as a part of the image that is asked for."""
        inner = list(boxes(data, at + 4, end, judge))
        found = {kind: (begin, stop) for kind, begin, stop in inner}
        if any(Counter(box[0] for box in inner)[kind] > 1 for kind in _ONCE):
            raise IndexError("a box that may be there once")
        self._idat = found.get(b"idat")
        if b"pitm" in found:
            at, stop = found[b"pitm"]
            self._parts.add(Numbers(data, at + 4, stop)(4 if data[at] else 2))
        for kind, read in (
            (b"iinf", self._read_kinds),
            (b"iloc", self._read_contents),
            (b"iprp", self._read_sides),
            (b"iref", self._read_references),
        ):
            if kind in found:
                read(*found[kind])

    def judge_metadata(self) -> None:
        """Judge EXIF and XMP, which are read once for each image that they belong to."""
        for number, item in self._items.items():
            if item.kind in _METADATA and item.content:
                copies = max(1, self._uses[number])
                self._judge.block(copies * len(item.content), "EXIF or XMP")

    def pixels(self) -> Iterator[int]:
        """Yield how many pixels a decoder makes of each coded image."""
        for number in self._parts:
            item = self._items.get(number, _Item())
            if item.kind not in (*self._codecs, *_DERIVED):
                kind = item.kind.decode("latin-1")
                named = f"of the type {kind}" if kind.isalnum() and kind.isascii() else "of no type"
                raise self._judge.unsupported(f"has an image {named}")
        for number, item in self._items.items():
            if item.content is None:
                continue
            if item.kind in (_GRID, _OVERLAY):
                self._judge.size(*_canvas(item))
            elif item.kind in self._codecs:
                yield max(1, self._uses[number]) * _coded_pixels(item, self._judge)

    def _read_kinds(self, at: int, end: int) -> None:
        count = 4 if self._data[at] else 2
        for _, begin, _ in boxes(self._data, at + 4 + count, end, self._judge):
            version = self._data[begin]
            number, _, kind = struct.unpack_from(
                ">IH4s" if version > 2 else ">HH4s", self._data, begin + 4
            )
            if number in self._items:
                raise IndexError("two items of one number")
            self._items[number] = _Item(kind if version > 1 else b"")

    def _read_contents(self, at: int, end: int) -> None:
        version, widths, more = self._data[at], self._data[at + 4], self._data[at + 5]
        numbers = Numbers(self._data, at + 6, end)
        wide = 4 if version > 1 else 2
        for _ in range(numbers(wide)):
            self._judge.parts()
            number = numbers(wide)
            method = numbers(2) & 15 if version else 0
            numbers(2)
            base = numbers(more >> 4)
            places = []
            for _ in range(numbers(2)):
                self._judge.parts()
                numbers(more & 15 if version else 0)
                places.append((base + numbers(widths >> 4), numbers(widths & 15)))
            item = self._items.get(number, _Item())
            if item.content is not None:
                raise IndexError("an item in two places")
            item.content = self._content(method, places)

    def _content(self, method: int, places: list[tuple[int, int]]) -> bytes:
        first, last = 0, len(self._data)
        if method == 1 and self._idat:
            first, last = self._idat
        elif method:
            raise IndexError("an item within an item")
        parts, left = [], last - first
        for begin, length in places:
            begin += first
            length = length or last - begin
            left -= length
            if length < 0 or left < 0 or begin + length > last:
                raise IndexError("an item that is not in the file")
            parts.append(self._data[begin : begin + length])
        return b"".join(parts)

    def _read_sides(self, at: int, end: int) -> None:
        properties: list[Box] = []
        tables = []
        for kind, begin, stop in boxes(self._data, at, end, self._judge):
            if kind == b"ipco":
                properties += boxes(self._data, begin, stop, self._judge)
            elif kind == b"ipma":
                tables.append((begin, stop))
        padding = _HEVC_PADDING if self._codecs == HEVC else 0
        sides = {}
        for i, (kind, begin, _) in enumerate(properties, 1):
            if kind == b"ispe":
                width, height = sides[i] = struct.unpack_from(">II", self._data, begin + 4)
                self._judge.size(max(1, width - padding), max(1, height - padding))
        for begin, stop in tables:
            version, wide = self._data[begin], self._data[begin + 3] & 1
            numbers = Numbers(self._data, begin + 4, stop)
            for _ in range(numbers(4)):
                self._judge.parts()
                item = self._items.get(numbers(4 if version else 2), _Item())
                for _ in range(numbers(1)):
                    self._judge.parts()
                    place = numbers(2) & 0x7FFF if wide else numbers(1) & 0x7F
                    if place in sides:
                        item.sides.append(sides[place])

    def _read_references(self, at: int, end: int) -> None:
        width = 4 if self._data[at] else 2
        for kind, begin, stop in boxes(self._data, at + 4, end, self._judge):
            numbers = Numbers(self._data, begin, stop)
            source = numbers(width)
            targets = [numbers(width) for _ in range(numbers(2))]
            self._judge.parts(len(targets))
            if kind == b"cdsc":
                self._uses[source] += len(targets)
            elif kind == b"auxl":
                self._parts.add(source)
            elif kind == b"dimg" and self._items.get(source, _Item()).kind in _DERIVED:
                if any(self._items.get(each, _Item()).kind in _DERIVED for each in targets):
                    raise self._judge.unsupported("is put together of images that are, too")
                self._uses.update(targets)
                self._parts.update(targets)


def _canvas(item: _Item) -> tuple[int, int]:
    """Return the size of an image that is put together of others."""
    content = item.content or b""
    form = ">II" if content[1] & 1 else ">HH"
    width, height = struct.unpack_from(form, content, 4 if item.kind == _GRID else 10)
    return width, height


def _coded_pixels(item: _Item, judge: Judge) -> int:
    """Return the pixels of all frames of a coded image."""
    content = item.content or b""
    if item.kind in AV1:
        return frames_pixels(content, judge)
    if not item.sides:
        raise IndexError("an image without a size")
    return max(width * height for width, height in item.sides) * _pictures(content, judge)


def frames_pixels(content: bytes, judge: Judge) -> int:
    """Return the pixels of all frames of AV1's bytes.

    Raises:
        InvalidImage: a frame is too large, or there are too many.
        IndexError: there is no frame, or one is cut.
    """
    pixels = sum(width * height for width, height in av1.frames(content, judge))
    if not pixels:
        raise IndexError("no frame")
    return pixels


def _pictures(content: bytes, judge: Judge) -> int:
    """Return how many pictures begin in HEVC's bytes; one at least."""
    pictures, numbers = 0, Numbers(content, 0, len(content))
    while numbers.at < len(content):
        judge.parts()
        length, at = numbers(4), numbers.at
        numbers.at += length
        kind = content[at] >> 1 & 63
        if kind < 32:  # a slice, of which the first of a picture has its first bit set
            pictures += content[at + 2] >> 7
    return max(1, pictures)
