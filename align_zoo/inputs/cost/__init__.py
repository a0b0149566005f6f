"""The cost of decoding an image's file, judged from the file's structure before decoding.

Pillow's own limit is on pixels. A small file can also ask for hours of work or gigabytes of
memory by the number of its parts, or by data that is decoded on the way to the pixels. Only cost
is judged here: the decoder reports damage.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress

from align_zoo.inputs.cost.bmff import judge_avif, judge_heif
from align_zoo.inputs.cost.bmp import judge_bmp
from align_zoo.inputs.cost.chunks import judge_png, judge_webp
from align_zoo.inputs.cost.gif import judge_gif
from align_zoo.inputs.cost.jpeg import judge_jpeg
from align_zoo.inputs.cost.judge import Judge
from align_zoo.inputs.cost.tiff import judge_tiff

__all__ = ["FORMATS", "format_of", "judge_header"]

_JUDGES: dict[str, Callable[[bytes, Judge], None]] = {
    "JPEG": judge_jpeg,
    "PNG": judge_png,
    "WEBP": judge_webp,
    "GIF": judge_gif,
    "BMP": judge_bmp,
    "TIFF": judge_tiff,
    "AVIF": judge_avif,
    "HEIF": judge_heif,
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

_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "HEIF"),
}


def format_of(data: bytes) -> str | None:
    """Recognize the format by the first 64 bytes; None for one that is not accepted."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        end = min(int.from_bytes(data[:4], "big"), 64)
        brands = [data[8:12], *(data[at : at + 4] for at in range(16, end, 4))]
        return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), None)
    return next((kind for begin, kind in _BEGINNINGS.items() if data.startswith(begin)), None)


def judge_header(data: bytes, kind: str, max_pixels: int) -> None:
    """Refuse a file whose decoding costs too much.

    Args:
        data: the whole file.
        kind: the file's format, one of ``FORMATS``.
        max_pixels: width times height, at most.

    Raises:
        InvalidImage: decoding costs too much.
    """
    # The decoder reports a file that ends too early.
    with suppress(struct.error, IndexError):
        _JUDGES[kind](data, Judge(kind, max_pixels))
