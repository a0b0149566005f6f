"""Picture files put together by hand: kinds that Pillow does not write, and lies."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

__all__ = ["Entry", "bigtiff", "bmp", "gif", "jpeg_segment", "png", "png_chunk", "tiff"]

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
