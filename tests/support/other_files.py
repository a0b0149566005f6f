"""PNG, BMP and GIF files of every kind, written by hand."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from fuzz.files import png_chunk

PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)


def png_file(
    pixels: np.ndarray, bits: int, colour: int, *, interlaced: bool, extra: bytes
) -> bytes:
    """A PNG of ``pixels`` [height, width, channels]; ``extra`` chunks stand before them."""
    height, width, _ = pixels.shape
    parts = (
        [pixels[y::down, x::across] for y, x, down, across in _ADAM7] if interlaced else [pixels]
    )
    rows = [b"\0" + _packed(row.ravel(), bits, ">") for part in parts if part.size for row in part]
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    body = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND", b"")


@dataclass(frozen=True)
class Bmp:
    """A kind of BMP: the size of its header, bits a pixel, masks, and the order of its rows."""

    header: int
    bits: int
    masks: tuple[int, ...] = ()
    top_down: bool = False

    def __str__(self) -> str:
        masks = " ".join(f"{mask:x}" for mask in self.masks)
        return f"{self.header} {self.bits} {masks}" + " top-down" * self.top_down


def bmp_file(kind: Bmp, values: np.ndarray, palette: np.ndarray | None = None) -> bytes:
    """A BMP of ``values`` [height, width], each a whole pixel; ``palette`` is [colours, 3]."""
    height, width = values.shape
    rows = [_packed(row, kind.bits, "<") for row in (values if kind.top_down else values[::-1])]
    pixels = b"".join(row + bytes(-len(row) % 4) for row in rows)
    masks = struct.pack(f"<{len(kind.masks)}I", *kind.masks)
    if kind.header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, kind.bits)
    else:
        info = struct.pack(
            "<IiiHHIIiiII", kind.header, width, -height if kind.top_down else height, 1, kind.bits,
            3 if masks else 0, len(pixels), 0, 0, 0 if palette is None else len(palette), 0,
        )  # fmt: skip
        info += masks if kind.header > 40 else b""
        info = info[: max(kind.header, 40)].ljust(kind.header, b"\0")
        info += masks if kind.header == 40 else b""
    colours = [] if palette is None else palette[:, ::-1].tolist()
    table = b"".join(bytes(colour) + bytes(kind.header != 12) for colour in colours)
    start = 14 + len(info) + len(table)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + info + table + pixels


def bmp_runs(indices: np.ndarray, palette: np.ndarray, bits: int) -> bytes:
    """A run-length BMP: runs of one pixel, and a literal run in each row."""
    body = b""
    for row in indices[::-1].tolist():
        for index in row[:-4]:
            body += bytes([1, index if bits == 8 else index << 4])
        end = row[-4:]
        packed = bytes(end) if bits == 8 else bytes([end[0] << 4 | end[1], end[2] << 4 | end[3]])
        body += b"\0\4" + packed + b"\0\0"
    file = bytearray(bmp_file(Bmp(40, bits), indices[:, :0], palette)[: 54 + 4 * len(palette)])
    struct.pack_into("<i", file, 18, indices.shape[1])
    struct.pack_into("<I", file, 30, 1 if bits == 8 else 2)
    struct.pack_into("<I", file, 34, len(body) + 2)
    return bytes(file) + body + b"\0\1"


@dataclass(frozen=True)
class Frame:
    """A GIF's frame: indices, its place, a palette of its own, a transparent index, disposal."""

    indices: np.ndarray
    left: int = 0
    top: int = 0
    palette: np.ndarray | None = None
    transparent: int | None = None
    disposal: int = 0


def gif_file(width: int, height: int, palette: np.ndarray, frames: list[Frame]) -> bytes:
    """A GIF with a global palette [256, 3]."""
    file = b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF7, 9, 0) + palette.tobytes()
    for frame in frames:
        flags = frame.disposal << 2 | (frame.transparent is not None)
        file += b"!\xf9\4" + struct.pack("<BHBx", flags, 5, frame.transparent or 0)
        rows, columns = frame.indices.shape
        local = frame.palette is not None
        file += b"," + struct.pack("<4HB", frame.left, frame.top, columns, rows, 0x87 * local)
        file += (frame.palette.tobytes() if local else b"") + _lzw(frame.indices)
    return file + b";"


def _lzw(indices: np.ndarray) -> bytes:
    """Codes of 9 bits alone: the table is cleared before it would need a tenth."""
    codes = [
        code
        for i, index in enumerate(indices.ravel().tolist())
        for code in ([256] * (i % 200 == 0) + [index])
    ]
    bits = sum(code << 9 * i for i, code in enumerate([*codes, 257]))
    body = bits.to_bytes(9 * (len(codes) + 1) // 8 + 1, "little")
    blocks = [body[at : at + 255] for at in range(0, len(body), 255)]
    return b"\x08" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def _packed(values: np.ndarray, bits: int, order: str) -> bytes:
    if bits < 8:
        each = values[:, None] >> np.arange(bits - 1, -1, -1) & 1
        return np.packbits(each.astype(np.uint8)).tobytes()
    if bits == 24:
        return values.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    return values.astype(f"{order}u{bits // 8}").tobytes()
