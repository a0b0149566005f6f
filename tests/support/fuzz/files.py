"""Image files put together by hand: kinds that Pillow does not write, and lies."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

__all__ = [
    "Entry",
    "Item",
    "av1",
    "bigtiff",
    "bmp",
    "box",
    "boxed",
    "gif",
    "grid",
    "hevc",
    "jpeg_segment",
    "png",
    "png_chunk",
    "tiff",
]

Entry = tuple[int, int, int, "int | bytes"]
"""Tag, type, count, and value: a number, or bytes that are put behind the directory."""


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *, extra: bytes = b"", bits: int = 8, colour: int = 0) -> bytes:
    """A black grey one; ``extra`` chunks stand before the pixels."""
    row = bytes(1 + (width * bits + 7) // 8)
    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)),
            extra,
            png_chunk(b"IDAT", pixels),
            png_chunk(b"IEND", b""),
        ]
    )


def jpeg_segment(mark: int, body: bytes) -> bytes:
    """A marker segment."""
    return b"\xff" + bytes([mark]) + struct.pack(">H", len(body) + 2) + body


def gif(width: int, height: int, *, extra: bytes = b"", frame: tuple[int, int] = (8, 8)) -> bytes:
    """A screen, ``extra`` blocks, and a frame whose 64 pixels are there."""
    return b"".join(
        [
            b"GIF89a",
            struct.pack("<HHBBB", width, height, 0x80, 0, 0),
            bytes([1, 2, 3, 9, 8, 7]),
            extra,
            b"," + struct.pack("<4HB", 0, 0, *frame, 0),
            b"\x02\x07\x84\x8f\xa9\xcb\xed\x0f\x05\x00",
            b";",
        ]
    )


def bmp(width: int, height: int, *, compression: int, bits: int, pixels: bytes) -> bytes:
    """One with a palette; compression 1 and 2 are run lengths."""
    palette = b"".join(struct.pack("<BBBB", i, i, i // 2, 0) for i in range(1 << bits))
    start = 14 + 40 + len(palette)
    return b"".join(
        [
            b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start),
            struct.pack("<IiiHHI", 40, width, height, 1, bits, compression),
            struct.pack("<IiiII", len(pixels), 0, 0, 1 << bits, 0),
            palette,
            pixels,
        ]
    )


def tiff(entries: Sequence[Entry]) -> bytes:
    """A little-endian one with one directory."""
    directory, values = _directory(entries, "<HHII", 8 + 2 + 12 * len(entries) + 4)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return head + directory + bytes(4) + values


def bigtiff(entries: Sequence[Entry]) -> bytes:
    """The same as BigTIFF."""
    directory, values = _directory(entries, "<HHQQ", 16 + 8 + 20 * len(entries) + 8)
    head = b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, len(entries))
    return head + directory + bytes(8) + values


def _directory(entries: Sequence[Entry], layout: str, behind: int) -> tuple[bytes, bytes]:
    """The entries, and the values that lie ``behind`` the directory."""
    directory, values = b"", b""
    for tag, kind, count, value in entries:
        if isinstance(value, bytes):
            place, values = behind + len(values), values + value
        else:
            place = value
        directory += struct.pack(layout, tag, kind, count, place)
    return directory, values


def box(kind: bytes, *content: bytes, version: int | None = None, flags: int = 0) -> bytes:
    """A box of AVIF or HEIF; with a version and flags where it is a full one."""
    head = b"" if version is None else struct.pack(">I", version << 24 | flags)
    body = head + b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


class Item(NamedTuple):
    """An image or a block of metadata in a file of boxes."""

    kind: bytes
    content: bytes
    size: tuple[int, int] = (0, 0)
    refers: tuple[bytes, tuple[int, ...]] | None = None
    """Kind of a reference, and the numbers of the items that it leads to."""


def grid(rows: int, columns: int, width: int, height: int) -> bytes:
    """Content of an image that is put together of parts."""
    return struct.pack(">BBBBII", 0, 1, rows - 1, columns - 1, width, height)


def av1(width: int, height: int, frames: int = 1) -> bytes:
    """The head of an AV1 stream of still images, and frames without content."""
    header = f"000{1:1b}{1:1b}{0:05b}{15:04b}{15:04b}{width - 1:016b}{height - 1:016b}{0:014b}"
    head = int(header, 2).to_bytes(len(header) // 8, "big")
    return b"\x0a" + bytes([len(head)]) + head + b"\x32\1\0" * frames


def hevc(pictures: int = 1) -> bytes:
    """Slices, each the first of a picture, without content."""
    return b"\0\0\0\3\x26\1\x80" * pictures


def boxed(like: bytes, items: Sequence[Item], *, properties: bytes = b"") -> bytes:
    """A file with items numbered from 1, of which the first is the image that is asked for.

    Args:
        like: an AVIF or HEIF of one image, whose codec's settings are taken over.
        items: all with a size of their own, the codec's settings, and more ``properties``.
        properties: further boxes of ``ipco``.
    """
    at = max(like.find(b"av1C"), like.find(b"hvcC")) - 4
    codec = like[at : at + int.from_bytes(like[at : at + 4], "big")]
    numbered = list(enumerate(items, 1))
    places, offset = [], 0
    for number, item in numbered:
        places.append(struct.pack(">HHHHII", number, 1, 0, 1, offset, len(item.content)))
        offset += len(item.content)
    kinds = [
        box(b"infe", struct.pack(">HH4sB", number, 0, item.kind, 0), version=2)
        for number, item in numbered
    ]
    sizes = [box(b"ispe", struct.pack(">II", *item.size), version=0) for item in items]
    uses = [struct.pack(">HBHH", number, 2, 0x8001, number + 1) for number, _ in numbered]
    references = [
        box(
            item.refers[0],
            struct.pack(f">HH{len(item.refers[1])}H", number, len(item.refers[1]), *item.refers[1]),
        )
        for number, item in numbered
        if item.refers
    ]
    count = struct.pack(">H", len(items))
    meta = box(
        b"meta",
        box(b"hdlr", bytes(4), b"pict", bytes(13), version=0),
        box(b"pitm", struct.pack(">H", 1), version=0),
        box(b"iloc", b"\x44\0", count, *places, version=1),
        box(b"iinf", count, *kinds, version=0),
        box(
            b"iprp",
            box(b"ipco", codec, *sizes, properties),
            box(b"ipma", struct.pack(">I", len(items)), *uses, version=0, flags=1),
        ),
        box(b"iref", *references, version=0),
        box(b"idat", *(item.content for item in items)),
        version=0,
    )
    return like[: int.from_bytes(like[:4], "big")] + meta
