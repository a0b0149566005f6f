"""Names the kinds of JPEG, BMP and TIFF that no decoder here reads, for the message."""

from __future__ import annotations

import io
import re
import struct
from contextlib import suppress

from PIL import TiffImagePlugin

from align_zoo.inputs.pixels import PixelError, tiff_gap, tiff_kind

__all__ = ["unsupported"]

_FRAME = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]..(.)", re.DOTALL)
"""The segment of JPEG with the bits of a sample."""
_BMP_BITS = (1, 4, 8, 16, 24, 32)


def unsupported(data: bytes, kind: str) -> PixelError:
    """Return the fault of a file that Pillow does not open.

    Args:
        data: the whole file.
        kind: the file's format, one of ``FORMATS``.
    """
    if kind == "TIFF":
        with suppress(Exception):
            tags = _tags(data)
            if gap := tiff_gap(tags):
                return PixelError(gap, "format")
            kinds = tiff_kind(tags)
            return PixelError(f"is damaged, or its {kinds} are not supported", "damaged")
    say = {"JPEG": _jpeg, "BMP": _bmp}.get(kind)
    if say:
        with suppress(Exception):  # a damaged header fails in many ways
            if found := say(data):
                said = f"{found}, which are not supported; convert it to 8-bit RGB"
                return PixelError(said, "format")
    return PixelError("has a damaged header, or is of a kind that is not supported", "damaged")


def _jpeg(data: bytes) -> str | None:
    frame = _FRAME.search(data)
    bits = frame[1][0] if frame else 8
    if bits not in (12, 16):
        return None
    return f"has {bits}-bit samples"


def _bmp(data: bytes) -> str | None:
    size, bits, compression = struct.unpack_from("<I10xHI", data, 14)
    if size == 12:
        (bits,), compression = struct.unpack_from("<H", data, 24), 0
    if compression == 3 and bits in (16, 32):
        masks = "/".join(f"{mask:x}" for mask in struct.unpack_from("<3I", data, 54))
        return f"has {bits} bits with the masks {masks}"
    if bits in _BMP_BITS and compression < 4:
        return None
    method = f" compressed by method {compression}" if compression else ""
    return f"has {bits} bits a pixel{method}"


def _tags(data: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
    tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if data[2] == 43 else 8])
    file = io.BytesIO(data)
    file.seek(tags.next)
    tags.load(file)
    return tags
