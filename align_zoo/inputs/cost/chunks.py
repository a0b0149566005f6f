"""PNG and WebP: their chunks. libwebp takes memory for the canvas while the file is opened."""

from __future__ import annotations

import struct

from align_zoo.inputs.cost.judge import Judge

__all__ = ["judge_png", "judge_webp"]

_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_EXIF_AS_TEXT = (b"exif\0", b"Raw profile type exif\0")
"""Keywords of texts that Pillow reads as EXIF."""
_PROFILE_COST = 2_000
"""Parts that a colour profile counts as: up to a megabyte is unpacked for each."""


def judge_png(data: bytes, judge: Judge) -> None:
    """Judge the chunks; EXIF and colour profiles count by their cost.

    Raises:
        InvalidImage: there are too many chunks, or a chunk is too large.
    """
    at, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        judge.parts(_PROFILE_COST if kind == b"iCCP" else 1)
        if kind == b"eXIf" or (kind in _TEXTS and data.startswith(_EXIF_AS_TEXT, at + 8)):
            judge.block(length, "EXIF")
        at += 12 + length


def judge_webp(data: bytes, judge: Judge) -> None:
    """Judge the canvas, the chunks, and the EXIF among them.

    Raises:
        InvalidImage: the canvas or the EXIF is too large, or there are too many chunks.
    """
    judge.size(*_canvas(data))
    at = 12
    while at < len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        judge.parts()
        if kind == b"EXIF":
            judge.block(length, "EXIF")
        at += 8 + length + length % 2


def _canvas(data: bytes) -> tuple[int, int]:
    """Return width and height; zeros for an unknown kind."""
    kind = data[12:16]
    if kind == b"VP8X":
        low, middle = struct.unpack_from("<IH", data, 24)
        return (low & 0xFFFFFF) + 1, (low >> 24 | middle << 8) + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0
