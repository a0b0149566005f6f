"""One mutated file for each seed: bytes changed blindly, and fields of the format on purpose."""

from __future__ import annotations

import random
import re
import struct
import zlib
from collections.abc import Callable, Mapping

__all__ = ["mutated"]

_ODD = (0, 1, 2, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 2**24 - 1, 2**31 - 1, 2**32 - 1)
_MOST_EDITS = 6
_HEAD = 64


def mutated(seed: int, samples: Mapping[str, bytes]) -> tuple[str, bytes]:
    """The name of the sample it comes from, and the bytes; the same for the same seed."""
    rng = random.Random(seed)
    names = list(samples)
    name = names[seed % len(names)]
    data = bytearray(samples[name])
    for _ in range(rng.randint(1, _MOST_EDITS)):
        edit = rng.choice(_EDITS)
        edit(data, rng)
    if rng.random() < 0.1:
        other = samples[rng.choice(names)]
        data[rng.randint(0, len(data)) :] = other[rng.randint(0, len(other)) :]
    if name.startswith(("AVIF", "HEIF")) and rng.random() < 0.5:
        # Sound boxes, or the decoder is seldom reached.
        at = samples[name].rindex(b"mdat") + 4
        data[:at] = samples[name][:at]
    if name.startswith("PNG") and rng.random() < 0.7:
        _mend_checksums(data)  # or nothing behind the first of them is ever reached
    return name, bytes(data)


def _flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] = rng.choice(_ODD) & 0xFF


def _cut(data: bytearray, rng: random.Random) -> None:
    if rng.random() < 0.3:
        del data[rng.randint(1, len(data)) :]
    if not data:
        data += b"\0"


def _remove(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.randint(1, 32)]
    if not data:
        data += b"\0"


def _repeat(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    part = data[start : start + rng.randint(1, 64)]
    data[start:start] = part * rng.randint(1, 20)


def _insert(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    data[start:start] = rng.randbytes(rng.randint(1, 32))


def _number(data: bytearray, rng: random.Random, *, end: int | None = None) -> None:
    """An odd number in 2 or 4 bytes of either order, where a length or a size may be."""
    size, code = rng.choice([(2, "<H"), (2, ">H"), (4, "<I"), (4, ">I")])
    start = rng.randrange(max(1, min(end or len(data), len(data)) - size))
    field = struct.pack(code, rng.choice(_ODD) % 2 ** (8 * size))
    data[start : start + size] = field


def _head_number(data: bytearray, rng: random.Random) -> None:
    _number(data, rng, end=_HEAD)


def _part(data: bytearray, rng: random.Random) -> None:
    """The length of a chunk, a segment or a directory's value, where the format has such."""
    places = _places(bytes(data))
    if places:
        start, code = rng.choice(places)
        size = struct.calcsize(code)
        (old,) = struct.unpack_from(code, data, start)
        new = rng.choice([old + 1, old - 1, old // 2, old * 2, rng.choice(_ODD)])
        struct.pack_into(code, data, start, new % 2 ** (8 * size))


def _places(data: bytes) -> list[tuple[int, str]]:
    """Where a part's length stands, and how."""
    if data.startswith(b"\x89PNG"):
        return [(at, ">I") for at in _chunks(data, 8, ">I", 12)]
    if data.startswith(b"RIFF"):
        return [(at + 4, "<I") for at in _chunks(data, 12, "<4xI", 8)]
    if data.startswith(b"\xff\xd8"):
        marks = [i for i in range(2, len(data) - 4) if data[i] == 0xFF and data[i + 1] > 0xBF]
        return [(i + 2, ">H") for i in marks[:40]]
    if data[4:8] == b"ftyp":
        lengths = [(found.start() - 4, ">I") for found in _BOXES.finditer(data, 4)]
        sizes = [(found.end() + at, ">I") for found in _SIZES.finditer(data) for at in (4, 8)]
        return [place for place in (*lengths, *sizes) if place[0] + 4 <= len(data)]
    if data[:2] == b"II" and len(data) > 200:
        return [(10 + 12 * i + part, code) for i in range(12) for part, code in _ENTRY]
    return []


_BOXES = re.compile(
    b"ftyp|meta|hdlr|pitm|iloc|iinf|infe|iref|dimg|auxl|cdsc|iprp|ipco|ipma|ispe|pixi|av1C|hvcC|"
    b"colr|irot|imir|auxC|idat|moov|trak|tkhd|mdia|minf|stbl|stsd|stts|stsc|stsz|stco|mdat"
)
_SIZES = re.compile(b"ispe")
_ENTRY = ((0, "<H"), (2, "<H"), (4, "<I"), (8, "<I"))
"""Tag, type, count and value of a directory's entry."""


def _chunks(data: bytes, at: int, code: str, around: int) -> list[int]:
    found = []
    while at + 8 <= len(data):
        found.append(at)
        at += around + struct.unpack_from(code, data, at)[0]
    return found


def _mend_checksums(data: bytearray) -> None:
    for at in _chunks(bytes(data), 8, ">I", 12):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 <= len(data):
            struct.pack_into(">I", data, end, zlib.crc32(data[at + 4 : end]))


_EDITS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip,
    _set,
    _cut,
    _remove,
    _repeat,
    _insert,
    _number,
    _head_number,
    _part,
    _part,
)
