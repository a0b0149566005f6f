"""AV1: the size of each frame that a decoder would make of an image's bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from align_zoo.inputs.cost.judge import Judge

__all__ = ["frames"]

_SEQUENCE, _FRAME_HEADER, _FRAME = 1, 3, 6
"""Types of OBUs, the parts of an AV1 stream."""
_KEY, _SWITCH = 0, 3
_CHOSEN_BY_FRAME = 2
_HEADER = 512
"""Bytes of an OBU that are read: a sequence header of 32 operating points has fewer."""


def frames(data: bytes, judge: Judge) -> Iterator[tuple[int, int]]:
    """Yield width and height of each frame, shown or not: a decoder computes them all.

    Raises:
        InvalidImage: too large, or too many parts.
        IndexError: a frame stands before the sequence header, or a part is cut.
    """
    at, sequence = 0, None
    while at < len(data):
        judge.parts()
        head = data[at]
        at += 2 if head & 4 else 1
        length = len(data) - at
        if head & 2:
            length, at = _leb128(data, at)
        kind, bits = head >> 3 & 15, _Bits(data[at : at + min(length, _HEADER)])
        if kind == _SEQUENCE:
            sequence = _Sequence.of(bits)
            judge.size(*sequence.size)
        elif kind in (_FRAME, _FRAME_HEADER):
            if sequence is None:
                raise IndexError("a frame before the sequence header")
            size = sequence.largest if sequence.is_resized(bits) else sequence.size
            judge.size(*size)
            yield size
        at += length


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(8):
        byte = data[at + i]
        value |= (byte & 127) << (7 * i)
        if byte < 128:
            return value, at + i + 1
    raise IndexError("a length without an end")


class _Bits:
    """Numbers of any width, the highest bit first."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def __call__(self, width: int = 1) -> int:
        self._left -= width
        if self._left < 0:
            raise IndexError("the header is cut")
        return self._value >> self._left & ((1 << width) - 1)

    def uvlc(self) -> None:
        """Skip a number of variable width."""
        zeros = 0
        while not self():
            zeros += 1
        self(zeros if zeros < 32 else 0)


@dataclass(frozen=True)
class _Sequence:
    """What of a sequence header says how large a frame is; section 5.5.1 of the AV1 standard."""

    size: tuple[int, int]
    largest: tuple[int, int]
    """The size that a frame of a size of its own can have."""
    reduced: bool
    time_bits: int
    id_bits: int
    screen_content: int
    integer_motion: int

    @classmethod
    def of(cls, bits: _Bits) -> _Sequence:
        bits(4)
        reduced = bool(bits())
        time_bits = 0
        if reduced:
            bits(5)
        else:
            time_bits = _skip_operating_points(bits)
        width_bits, height_bits = bits(4) + 1, bits(4) + 1
        size = bits(width_bits) + 1, bits(height_bits) + 1
        id_bits = 0
        if not reduced and bits():
            delta = bits(4) + 2
            id_bits = delta + bits(3) + 1
        bits(3)
        screen_content = integer_motion = _CHOSEN_BY_FRAME
        if not reduced:
            bits(4)
            if bits():
                bits(2)
            screen_content = _CHOSEN_BY_FRAME if bits() else bits()
            if screen_content:
                integer_motion = _CHOSEN_BY_FRAME if bits() else bits()
        largest = 1 << width_bits, 1 << height_bits
        return cls(size, largest, reduced, time_bits, id_bits, screen_content, integer_motion)

    def is_resized(self, bits: _Bits) -> bool:
        """Return whether the header of a frame may give it another size than the sequence's."""
        if self.reduced or bits():  # all frames have one size, or an earlier one is shown again
            return False
        kind, shown = bits(2), bits()
        if shown:
            bits(self.time_bits)
        else:
            bits()
        if kind != _SWITCH and not (kind == _KEY and shown):
            bits()
        bits()
        screen_content = self.screen_content
        if screen_content == _CHOSEN_BY_FRAME:
            screen_content = bits()
        if screen_content and self.integer_motion == _CHOSEN_BY_FRAME:
            bits()
        bits(self.id_bits)
        return kind == _SWITCH or bool(bits())


def _skip_operating_points(bits: _Bits) -> int:
    """Skip times and operating points; return how many bits a frame's time has in its header."""
    time_bits = delay_bits = 0
    has_model = False
    if bits():
        bits(64)
        equal = bits()
        if equal:
            bits.uvlc()
        has_model = bool(bits())
        if has_model:
            delay_bits = bits(5) + 1
            bits(32 + 5)
            time_bits = bits(5) + 1
            time_bits = 0 if equal else time_bits
    has_delay = bits()
    for _ in range(bits(5) + 1):
        bits(12)
        if bits(5) > 7:
            bits()
        if has_model and bits():
            bits(2 * delay_bits + 1)
        if has_delay and bits():
            bits(4)
    return time_bits
