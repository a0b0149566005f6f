"""BMP: run-length compression, which Pillow undoes byte by byte in Python."""

from __future__ import annotations

import struct

from align_zoo.errors import InvalidImage
from align_zoo.inputs.cost.judge import Judge

__all__ = ["judge_bmp"]

MAX_RUN_LENGTH = 2_100_000
"""The most bytes and pixels of a run-length BMP, 1920 by 1080: half a second of work each."""

_RUN_LENGTH = (1, 2)  # of 8 and of 4 bits


def judge_bmp(data: bytes, judge: Judge) -> None:
    """Judge the bytes and pixels of a run-length BMP; any other BMP takes no more than it holds.

    Raises:
        InvalidImage: there are too many bytes or pixels.
    """
    size, width, height, compression = struct.unpack_from("<Iii4xI", data, 14)
    if size == 12 or compression not in _RUN_LENGTH:
        return
    judge.size(abs(width), abs(height), most=MAX_RUN_LENGTH)
    if len(data) > MAX_RUN_LENGTH:
        raise InvalidImage(
            f"the run-length BMP image has {len(data):,} bytes; "
            f"at most {MAX_RUN_LENGTH:,} are accepted",
            "too_many_bytes",
        )
