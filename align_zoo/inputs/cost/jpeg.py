"""JPEG: the segments before the pixels, and the scans of the pixels.

A decoder reads one scan of a sequential image whose first scan has all components: a further scan
is an error to it. Most files are so, and their scans are not counted.
"""

from __future__ import annotations

import re
import struct

import numpy as np

from align_zoo.inputs.cost.judge import Judge

__all__ = ["judge_jpeg"]

FEW_SCANS, MAX_SCANS = 20, 50
"""The most scans of the largest image and of a small image; a progressive image of CMYK has 18.
A further scan costs a few bytes of the file, and 50 ms at 50 megapixels.
"""

_NEXT = re.compile(rb"([^\xff]*\xff+)([^\xff])")
# Among the pixels' bits FF is followed by 00 or by the mark of a restart, D0 to D7.
_AMONG_PIXELS = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_ALONE = frozenset([0x00, 0x01, *range(0xD0, 0xDA)])
"""Marks without a length."""
_EXIF, _SCAN, _END = 0xE1, 0xDA, 0xD9
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Marks of segments with the size."""
_SEQUENTIAL = (0xC0, 0xC1)
"""Those of images that come to their full precision in one scan."""


def judge_jpeg(data: bytes, judge: Judge) -> None:
    """Judge the segments up to the pixels, the EXIF among them, and the scans.

    Raises:
        InvalidImage: there are too many segments or scans.
    """
    at, exif, pixels, components = 2, 0, 1, 0
    while match := _NEXT.match(data, at):
        # Bytes between segments are skipped one by one by Pillow.
        judge.parts(match.end(1) - at)
        at, mark = match.end(), data[match.start(2)]
        if mark in _ALONE:
            continue
        if mark == _SCAN:
            if data[at + 2] == components:
                return
            most = max(FEW_SCANS, min(MAX_SCANS, FEW_SCANS * judge.max_pixels // max(pixels, 1)))
            _judge_scans(data, at, most, judge)
            return
        (length,) = struct.unpack_from(">H", data, at)
        if mark == _EXIF and data.startswith(b"Exif\0\0", at + 2):
            exif += length  # Pillow joins all of them
            judge.block(exif, "EXIF")
        if mark in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 3)
            pixels = height * width
            components = data[at + 7] if mark in _SEQUENTIAL else 0
        at += max(length, 2)


def _judge_scans(data: bytes, at: int, most: int, judge: Judge) -> None:
    # Fast, without the interpreter's lock, and enough for nearly every image; data behind the
    # image may hold more.
    rest = np.frombuffer(data, np.uint8)[at:]
    if np.count_nonzero((rest[:-1] == 0xFF) & (rest[1:] == _SCAN)) < most:
        return
    scans = 1
    while match := _AMONG_PIXELS.search(data, at):
        judge.parts()
        mark = data[match.start(1)]
        if mark == _END:
            return
        scans += mark == _SCAN
        if scans > most:
            raise judge.too_many("scans", most)
        at = match.end()
        if mark not in _ALONE:
            (length,) = struct.unpack_from(">H", data, at)
            at += length
