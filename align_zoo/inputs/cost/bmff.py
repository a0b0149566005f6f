"""AVIF and HEIF: the images of a file and the tracks of a sequence, judged together."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from align_zoo.inputs.cost.boxed_images import AV1, HEVC, Meta, frames_pixels
from align_zoo.inputs.cost.boxes import boxes, contents
from align_zoo.inputs.cost.judge import Judge

__all__ = ["judge_avif", "judge_heif"]

_MOST_IN_ALL = 4
"""Pixels of all images of a file together, as a multiple of those that one may have.

A decoder takes time for the parts of a grid, for alpha, for a frame that is not shown. The same
part may stand in many places of a grid.
"""
_FEW = 1_000_000
"""Pixels of all images together that are no work, however few one may have."""


def judge_avif(data: bytes, judge: Judge) -> None:
    """Judge the sizes that the boxes tell, size and number of AV1's frames, and EXIF.

    Raises:
        InvalidImage: too large, too many, or what cannot be judged.
    """
    _judge(data, judge, AV1)


def judge_heif(data: bytes, judge: Judge) -> None:
    """Judge the sizes that the boxes tell, the number of HEVC's pictures, and EXIF.

    libheif refuses an image whose size in HEVC is above that of its box.

    Raises:
        InvalidImage: too large, too many, or what cannot be judged.
    """
    _judge(data, judge, HEVC)


def _judge(data: bytes, judge: Judge, codecs: tuple[bytes, ...]) -> None:
    pixels: list[int] = []
    try:
        for kind, at, end in boxes(data, 0, len(data), judge):
            if kind == b"meta":
                meta = Meta(data, at, end, judge, codecs)
                meta.judge_metadata()
                pixels += meta.pixels()
            elif kind == b"moov":
                pixels += _first_frames(data, at, end, judge, codecs)
    except (struct.error, IndexError) as error:
        raise judge.damaged() from error
    if not pixels:
        raise judge.unsupported(f"has no image of the type {codecs[0].decode()}")
    judge.work(sum(pixels), max(_FEW, _MOST_IN_ALL * judge.max_pixels))


def _first_frames(
    data: bytes, at: int, end: int, judge: Judge, codecs: tuple[bytes, ...]
) -> Iterator[int]:
    """Yield the pixels of the first frame of each track of a sequence."""
    for begin, stop in contents(b"trak", data, at, end, judge):
        for _, last in contents(b"tkhd", data, begin, stop, judge):
            width, height = struct.unpack_from(">II", data, last - 8)
            judge.size(width >> 16, height >> 16)
        for start, last in contents(b"meta", data, begin, stop, judge):
            Meta(data, start, last, judge, codecs).judge_metadata()
        tables = [(begin, stop)]
        for kind in (b"mdia", b"minf", b"stbl"):
            tables = [inner for outer in tables for inner in contents(kind, data, *outer, judge)]
        for table in tables:
            frame = _first_frame(data, *table, judge, codecs)
            if frame is not None and codecs == AV1:  # libheif takes no frame of a track
                yield frames_pixels(frame, judge)


def _first_frame(
    data: bytes, at: int, end: int, judge: Judge, codecs: tuple[bytes, ...]
) -> bytes | None:
    """Return a track's first frame, None of another codec; the number of its frames is judged."""
    is_coded = False
    place = size = 0
    seen = set()
    for kind, begin, stop in boxes(data, at, end, judge):
        if kind in seen:
            raise IndexError("a box that may be there once")
        seen.add(kind)
        if kind == b"stsd":
            for codec, start, _ in boxes(data, begin + 8, stop, judge):
                if codec in codecs:
                    is_coded = True
                    judge.size(*struct.unpack_from(">HH", data, start + 24))
        elif kind == b"stsz":
            size, count, first = struct.unpack_from(">III", data, begin + 4)
            judge.parts(count)
            size = size or first
        elif kind in (b"stco", b"co64"):
            count, place = struct.unpack_from(">II" if kind == b"stco" else ">IQ", data, begin + 4)
            judge.parts(count)
        elif kind in (b"stts", b"stsc", b"stss", b"ctts"):
            judge.parts(*struct.unpack_from(">I", data, begin + 4))
    if not is_coded:
        return None
    if not 0 < place <= place + size <= len(data):
        raise IndexError("a frame that is not in the file")
    return data[place : place + size]
