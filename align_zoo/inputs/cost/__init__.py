"""What a picture's file would cost a decoder, judged from its structure before one sees it.

Pillow's own limit is on pixels. A small file can also ask for hours of work or gigabytes of
memory by the number of its parts, or by what is decoded on the way to its pixels. Only cost is
judged here: what is damaged is left to the decoder, which says so.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress

from align_zoo.inputs.cost.bmp import judge_bmp
from align_zoo.inputs.cost.gif import judge_gif
from align_zoo.inputs.cost.jpeg import judge_jpeg
from align_zoo.inputs.cost.judge import Judge
from align_zoo.inputs.cost.png import judge_png
from align_zoo.inputs.cost.tiff import judge_tiff
from align_zoo.inputs.cost.webp import judge_webp

__all__ = ["FORMATS", "format_of", "judge_header"]

_JUDGES: dict[str, Callable[[bytes, Judge], None]] = {
    "JPEG": judge_jpeg,
    "PNG": judge_png,
    "WEBP": judge_webp,
    "GIF": judge_gif,
    "BMP": judge_bmp,
    "TIFF": judge_tiff,
}
FORMATS = tuple(_JUDGES)
"""The formats that are accepted."""

_BEGINNINGS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    # Big-endian BigTIFF is not among them: Pillow and libtiff read it as two different files.
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
}


def format_of(data: bytes) -> str | None:
    """Recognize the format by the first bytes; None for one that is not accepted."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for begin, kind in _BEGINNINGS.items() if data.startswith(begin)), None)


def judge_header(data: bytes, kind: str, max_pixels: int) -> None:
    """Let pass what can be decoded at a bounded cost.

    Args:
        data: the whole file.
        kind: its format, one of ``FORMATS``.
        max_pixels: width times height, at most.

    Raises:
        InvalidImage: it would cost too much.
    """
    # An end before its time is for the decoder to complain about.
    with suppress(struct.error, IndexError):
        _JUDGES[kind](data, Judge(kind, max_pixels))
