"""TIFF files of every layout, written by hand: bits, planes, strips, tiles, order, compression."""

from __future__ import annotations

import itertools
import struct
import zlib
from dataclasses import dataclass

import imagecodecs
import numpy as np

COMPRESSIONS = {
    1: bytes,
    5: imagecodecs.lzw_encode,
    8: zlib.compress,
    32773: imagecodecs.packbits_encode,
    32946: zlib.compress,
}
CHANNELS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
"""Samples of a pixel of each photometric interpretation, without the extra ones."""
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3


@dataclass(frozen=True)
class Layout:
    """How a TIFF file stores its samples; the numbers are TIFF's own."""

    photometric: int
    bits: int
    sample_format: int = _UNSIGNED
    extra: tuple[int, ...] = ()
    order: str = "<"
    separate: bool = False
    compression: int = 1
    predictor: bool = False
    tiled: bool = False
    rows: int = 64
    fill_order: int = 1
    orientation: int = 1

    @property
    def channels(self) -> int:
        return CHANNELS[self.photometric] + len(self.extra)

    def __str__(self) -> str:
        kind = " if"[self.sample_format - 1].strip()
        words = [f"p{self.photometric} {kind}{self.bits}", f"x{self.extra}" if self.extra else ""]
        words += [self.order, f"c{self.compression}", "planes" if self.separate else ""]
        words += ["predictor" if self.predictor else "", "tiles" if self.tiled else ""]
        words += [f"rows{self.rows}" if self.rows < 64 else "", f"fill{self.fill_order}"]
        return " ".join(word for word in words if word)


def samples(layout: Layout, height: int = 19, width: int = 26) -> np.ndarray:
    """Noise [height, width, channels] over the whole range, associated alpha above its colours."""
    rng, shape = np.random.default_rng(0), (height, width, layout.channels)
    if layout.sample_format == _FLOAT:
        return rng.random(shape).astype(f"f{layout.bits // 8}")
    low = -(2 ** (layout.bits - 1)) if layout.sample_format == _SIGNED else 0
    values = rng.integers(low, low + 2**layout.bits, shape)
    if layout.extra[:1] == (1,):
        colours = CHANNELS[layout.photometric]
        values[..., colours] |= 2 ** (layout.bits - 1)
        values[..., :colours] = values[..., :colours] * values[..., colours, None] >> layout.bits
    sign = "i" if layout.sample_format == _SIGNED else "u"
    return values.astype(f"{sign}{max(layout.bits, 8) // 8 + (layout.bits == 12)}")


def colour_map(bits: int) -> np.ndarray:
    """A palette [3, 2**bits] of 16-bit values."""
    return np.random.default_rng(1).integers(0, 2**16, (3, 2**bits)).astype(np.uint16)


def tiff_file(layout: Layout, pixels: np.ndarray) -> bytes:
    """The file of ``pixels``, which are [height, width, channels]."""
    height, width, channels = pixels.shape
    planes = [pixels[..., [i]] for i in range(channels)] if layout.separate else [pixels]
    chunks = [_packed(layout, chunk) for plane in planes for chunk in _chunks(layout, plane)]
    entries: list[tuple[int, int, list[int]]] = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [layout.bits] * channels),
        (259, 3, [layout.compression]),
        (262, 3, [layout.photometric]),
        (266, 3, [layout.fill_order]),
        (274, 3, [layout.orientation]),
        (277, 3, [channels]),
        (284, 3, [2 if layout.separate else 1]),
        (317, 3, [2 if layout.predictor else 1]),
        (339, 3, [layout.sample_format] * channels),
    ]
    entries += [(338, 3, list(layout.extra))] if layout.extra else []
    if layout.photometric == 3:
        entries.append((320, 3, colour_map(layout.bits).ravel().tolist()))
    if layout.photometric == 6:
        entries.append((530, 3, [1, 1]))
    sizes = [len(chunk) for chunk in chunks]
    starts = [8 + before for before in itertools.accumulate([0, *sizes[:-1]])]
    if layout.tiled:
        entries += [(322, 3, [16]), (323, 3, [16]), (324, 4, starts), (325, 4, sizes)]
    else:
        entries += [(273, 4, starts), (278, 4, [min(layout.rows, height)]), (279, 4, sizes)]
    return _written(layout.order, b"".join(chunks), sorted(entries))


def _chunks(layout: Layout, plane: np.ndarray) -> list[np.ndarray]:
    height, width, _ = plane.shape
    if not layout.tiled:
        return [plane[top : top + layout.rows] for top in range(0, height, layout.rows)]
    padded = np.pad(plane, ((0, -height % 16), (0, -width % 16), (0, 0)))
    return [
        padded[top : top + 16, left : left + 16]
        for top in range(0, height, 16)
        for left in range(0, width, 16)
    ]


def _packed(layout: Layout, chunk: np.ndarray) -> bytes:
    if layout.predictor:
        chunk = np.concatenate([chunk[:, :1], np.diff(chunk, axis=1)], axis=1)
    if layout.bits in (1, 2, 4, 12):
        rows = chunk.reshape(len(chunk), -1)
        each = (rows[..., None] >> np.arange(layout.bits - 1, -1, -1)) & 1
        raw = np.packbits(each.reshape(len(rows), -1).astype(np.uint8), axis=1).tobytes()
    else:
        raw = chunk.astype(chunk.dtype.newbyteorder(layout.order)).tobytes()
    data = COMPRESSIONS[layout.compression](raw)
    if layout.fill_order == 2:
        data = np.packbits(
            np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        ).tobytes()
    return data


def _written(order: str, pixels: bytes, entries: list[tuple[int, int, list[int]]]) -> bytes:
    pixels += b"\0" * (len(pixels) % 2)
    at = 8 + len(pixels)
    behind, directory, values = at + 2 + 12 * len(entries) + 4, b"", b""
    for tag, kind, numbers in entries:
        body = struct.pack(order + "HI"[kind == 4] * len(numbers), *numbers)
        if len(body) > 4:
            place = struct.pack(order + "I", behind + len(values))
            values += body + b"\0" * (len(body) % 2)
        else:
            place = body.ljust(4, b"\0")
        directory += struct.pack(order + "HHI", tag, kind, len(numbers)) + place
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", at)
    return head + pixels + struct.pack(order + "H", len(entries)) + directory + bytes(4) + values
