"""PNG: the chunks, and the bytes that a chunk unpacks to."""

from __future__ import annotations

import struct

from align_zoo.inputs.cost.judge import Judge

__all__ = ["judge_png"]

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
