"""Sound small images of every accepted format, mode and way of writing: what is mutated."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image, PngImagePlugin

from fuzz import files

__all__ = ["samples"]

pillow_heif.register_heif_opener()  # so that Pillow writes HEIF, and opens it for a caller

_WIDTH, _HEIGHT = 37, 23

_TIMES = re.compile(rb"((?:mvhd|tkhd|mdhd)\x01...).{16}", re.DOTALL)
"""Boxes of a sequence with the time when it was made, and when it was changed."""

_WAYS: dict[str, tuple[tuple[str, ...], tuple[dict[str, Any], ...]]] = {
    "JPEG": (
        ("RGB", "L", "CMYK", "YCbCr"),
        ({}, {"progressive": True}, {"subsampling": 0, "restart_marker_rows": 1}),
    ),
    "PNG": (("RGB", "RGBA", "L", "LA", "P", "1", "I;16"), ({}, {"compress_level": 0})),
    "WEBP": (("RGB", "RGBA"), ({}, {"lossless": True}, {"exact": True, "quality": 5})),
    "GIF": (("P", "L"), ({}, {"interlace": 1}, {"transparency": 3})),
    "BMP": (("RGB", "RGBA", "L", "P", "1"), ({},)),
    "TIFF": (
        ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "YCbCr", "LAB", "I;16", "F"),
        ({}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}),
    ),
    "AVIF": (("RGB", "RGBA", "L"), ({"speed": 8}, {"subsampling": "4:4:4", "quality": 90})),
    "HEIF": (("RGB", "RGBA", "L"), ({}, {"quality": -1, "chroma": 444})),
}
"""Format: modes, and options of Pillow's save."""


@cache
def samples() -> Mapping[str, bytes]:
    """Name to file; the same bytes each time."""
    found = dict(_written())
    found.update(_oriented())
    found.update(_by_hand())
    return MappingProxyType(found)


def _image(mode: str) -> Image.Image:
    rng = np.random.default_rng(0)
    waves = np.add.outer(np.arange(_HEIGHT) * 5, np.arange(_WIDTH) * 3)[..., None]
    pixels = (waves + rng.integers(0, 40, (_HEIGHT, _WIDTH, 3))).astype(np.uint8)
    image = Image.fromarray(pixels)
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    if mode == "LAB":
        return Image.merge("LAB", image.split())
    return image.convert("L").convert("F") if mode == "F" else image.convert(mode)


def _file(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _written() -> Iterator[tuple[str, bytes]]:
    for kind, (modes, ways) in _WAYS.items():
        for mode in modes:
            for i, options in enumerate(ways):
                yield f"{kind} {mode} {i}", _file(_image(mode), kind, **options)
    frames = [_image("RGB").rotate(90 * i) for i in range(3)]
    for kind in ("GIF", "WEBP", "PNG", "TIFF", "AVIF", "HEIF"):
        data = _file(frames[0], kind, save_all=True, append_images=frames[1:])
        yield f"{kind} frames", _TIMES.sub(rb"\1" + bytes(16), data)
    for compression in ("packbits", "jpeg"):
        yield f"TIFF {compression}", _file(_image("RGB"), "TIFF", compression=compression)
    yield "HEIF grid", _file(_image("RGB"), "HEIF", tile_size=16)
    big = {"big_tiff": True, "compression": "tiff_lzw"}
    yield "TIFF big", _file(_image("RGB"), "TIFF", **big)


def _oriented() -> Iterator[tuple[str, bytes]]:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x011A] = 6, "a description", 72.0
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0a comment"
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "plain")
    texts.add_text("Comment", "packed " * 9, zip=True)
    texts.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="8"/>', zip=True)
    profile = bytes(range(200))
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"):
        block = {"exif": exif.tobytes(), "icc_profile": profile}
        yield f"{kind} exif", _file(_image("RGB"), kind, **block)
    yield "PNG texts", _file(_image("P"), "PNG", pnginfo=texts)


def _by_hand() -> Iterator[tuple[str, bytes]]:
    for bits, row in (8, b"\5\7\0\6abcdef\5\2\0\0"), (4, b"\5\x71\0\6abc\0\5\x12\0\0"):
        runs = {"compression": 1 if bits == 8 else 2, "pixels": row * 16 + b"\0\1"}
        yield f"BMP runs {bits}", files.bmp(16, 16, bits=bits, **runs)
    yield "PNG 2 bits", files.png(31, 17, bits=2)
    yield "GIF comment", files.gif(8, 8, extra=b"!\xfe\x03abc\x02de\x00!\xf9\x04\x09\0\0\1\0")
    yield "TIFF tiles", files.tiff(_tiled())
    yield "TIFF 12 bits", files.tiff(_twelve_bits())


def _tiled() -> list[files.Entry]:
    tiles = bytes(range(256)) * 4
    return [
        (256, 3, 1, 30),
        (257, 3, 1, 20),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (322, 3, 1, 16),
        (323, 3, 1, 16),
        (324, 4, 4, b"".join((200 + 256 * i).to_bytes(4, "little") for i in range(4))),
        (325, 4, 4, b"".join((256).to_bytes(4, "little") for _ in range(4))),
        (65000, 7, len(tiles), tiles),
    ]


def _twelve_bits() -> list[files.Entry]:
    pixels = bytes(range(0, 192)) * 2
    return [
        (256, 3, 1, 16),
        (257, 3, 1, 16),
        (258, 3, 1, 12),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, pixels),
        (277, 3, 1, 1),
        (278, 3, 1, 16),
    ]
