"""GIF: the size with its first frame, for which Pillow takes memory while it opens the file."""

from __future__ import annotations

import struct

from align_zoo.inputs.cost.judge import Judge

__all__ = ["judge_gif"]

_EXTENSION, _FRAME, _END = 0x21, 0x2C, 0x3B
_COMMENT, _APPLICATION = 0xFE, 0xFF


def judge_gif(data: bytes, judge: Judge) -> None:
    """Judge the screen, the first frame, and the blocks before the first frame.

    Extensions are read as Pillow reads them, also where Pillow deviates from the standard: the
    blocks that Pillow goes through have to be counted.

    Raises:
        InvalidImage: the image is too large, or has too many parts.
    """
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    judge.size(width, height)
    at = 13 + _palette(flags)
    while data[at] != _END:
        judge.parts()
        if data[at] == _FRAME:
            left, top, wide, high = struct.unpack_from("<4H", data, at + 1)
            judge.size(max(width, left + wide), max(height, top + high))
            return
        at = _after_extension(data, at + 1, judge) if data[at] == _EXTENSION else at + 1


def _palette(flags: int) -> int:
    return 3 << (flags % 8 + 1) if flags & 0x80 else 0


def _after_extension(data: bytes, at: int, judge: Judge) -> int:
    label, at = data[at], at + 1
    first, at = _block(data, at)
    if label == _COMMENT and not first:
        return at
    if label == _APPLICATION and first.startswith(b"NETSCAPE2.0"):
        _, at = _block(data, at)
    while True:
        judge.parts()
        block, at = _block(data, at)
        if not block:
            return at


def _block(data: bytes, at: int) -> tuple[bytes, int]:
    end = at + 1 + data[at]
    return data[at + 1 : end], end
