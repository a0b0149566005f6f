"""The pixels of a PIL image as the image tower sees them: upright, in 8 bits of grey or RGB.

``align_zoo/inputs/pixels.py`` and ``align_client/pixels.py`` are the same text, because neither
package imports the other and both must decode alike. A test compares the two files.
"""

from __future__ import annotations

import io
import os
import struct
import threading
from contextlib import suppress
from typing import Any, Mapping, NamedTuple, Optional, Tuple

import numpy as np
from PIL import ExifTags, Image

__all__ = [
    "PixelError",
    "eight_bit",
    "in_words",
    "open_image",
    "orientation",
    "tiff_gap",
    "tiff_kind",
]

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The turn that makes an image of each EXIF orientation upright."""
_ORIENTED_BY = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
"""Entries of an image's ``info`` where Pillow looks for the orientation."""

_UPRIGHT = ("HEIF",)
"""Formats whose decoder turns the image itself, by a field of the format; EXIF may say it again."""

_SAMPLES = {
    0: ("min-is-white grey", (1, 2, 4, 8)),
    1: ("grey", (1, 2, 4, 8, 12, 16)),
    2: ("RGB", (8, 16)),
    3: ("palette", (1, 2, 4, 8)),
    5: ("CMYK", (8, 16)),
    6: ("YCbCr", (8,)),
    8: ("LAB", (8,)),
}
"""Name and bits of each photometric interpretation of TIFF that Pillow decodes right."""
_KINDS = {1: "", 2: "signed ", 3: "floating-point ", 4: "undefined ", 5: "complex ", 6: "complex "}
"""TIFF's sample formats."""
_EXTRA_SAMPLES = 338
"""The tag; its values 1 and 2 are alpha."""


class PixelError(ValueError):
    """An image cannot be decoded; the message is a predicate, to stand behind the image's name.

    Args:
        message: the predicate, in words that may be shown to anybody.
        reason: "format", "damaged" or "closed", for counting.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


_opening_avif = threading.Lock()


def _renew_lock() -> None:
    global _opening_avif
    _opening_avif = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def open_image(data: bytes, formats: Tuple[str, ...]) -> Image.Image:
    """Open an encoded image of one of Pillow's ``formats``, without its pixels.

    One thread decodes an AVIF, unless the program has set another number. Pillow would take as many
    as there are cores for each image: 64 threads for each of 64 images that are decoded at once.

    Raises:
        Exception: what Pillow raises.
    """
    if "AVIF" not in formats or data[4:8] != b"ftyp":
        return Image.open(io.BytesIO(data), formats=formats)
    from PIL import AvifImagePlugin as plugin

    with _opening_avif:
        chosen = plugin.DEFAULT_MAX_THREADS
        plugin.DEFAULT_MAX_THREADS = chosen or 1
        try:
            return Image.open(io.BytesIO(data), formats=formats)
        finally:
            plugin.DEFAULT_MAX_THREADS = chosen


def eight_bit(image: Image.Image) -> Image.Image:
    """Return the image upright, of mode 1, L or RGB; the image itself where nothing changes.

    Like transformers' ``load_image``, but grey of 12 or 16 bits is scaled to 8, not clipped.

    Raises:
        PixelError: the image is closed or damaged, or its samples have no known range.
        MemoryError: the image is too large for this machine.
    """
    try:
        return _eight_bit(image)
    except (PixelError, MemoryError):
        raise
    except Exception as error:  # a decoder fails on damaged bytes in many ways
        raise _failure(image, error) from error


def _failure(image: Image.Image, error: Exception) -> PixelError:
    unread = getattr(image, "tile", None) and getattr(image, "fp", None) is None
    if unread or "closed" in str(error):
        return PixelError("was closed before its pixels were read; open it again", "closed")
    tags = getattr(image, "tag_v2", {})
    with suppress(Exception):  # odd values in the directory
        layout = _Layout.of(tags)
        if tags and (layout.planes or layout.reversed):  # of which Pillow lacks some
            said = (
                f"is damaged, or its {tiff_kind(tags)} are not supported; convert it to 8-bit RGB"
            )
            return PixelError(said, "damaged")
    return PixelError("is truncated or damaged", "damaged")


def in_words(error: Optional[BaseException]) -> str:
    """Return the error's message, with its type where the message alone says too little."""
    message, kind = str(error).strip(), type(error).__name__
    if isinstance(error, (OSError, ValueError, SyntaxError)) and message:
        return message
    return f"{kind}: {message}" if message else kind


def tiff_kind(tags: Mapping[int, Any]) -> str:
    """Return what a TIFF's samples are, for a message: "signed 16-bit grey samples"."""
    layout = _Layout.of(tags)
    name = _SAMPLES.get(layout.photometric, (f"photometric-{layout.photometric}",))[0]
    words = [f"{_KINDS.get(layout.sample_format, '')}{layout.bits}-bit {name} samples"]
    words += ["with alpha"] if layout.alpha else []
    words += ["in separate planes"] if layout.planes else []
    words += ["in reversed bit order"] if layout.reversed else []
    return " ".join(words)


def tiff_gap(tags: Mapping[int, Any]) -> Optional[str]:
    """Return the predicate of a TIFF whose samples Pillow reads wrong or not at all, else None.

    Args:
        tags: values of the image's directory, as Pillow's ``tag_v2`` has them.
    """
    layout = _Layout.of(tags)
    known = _SAMPLES.get(layout.photometric, ("", ()))[1]
    if layout.sample_format != 1 or layout.bits == 32:
        return f"has {tiff_kind(tags)} with no defined range; convert it to 8 or 16 bits"
    wrong = (
        layout.bits not in known
        or (layout.several and layout.bits < 8)
        or (layout.planes and layout.raw and (layout.bits > 8 or layout.reversed))
        or (layout.planes and layout.photometric == 1 and layout.alpha)
    )
    return (
        f"has {tiff_kind(tags)}, which are not supported; convert it to 8-bit RGB"
        if wrong
        else None
    )


class _Layout(NamedTuple):
    """How a TIFF stores its samples."""

    photometric: int
    bits: int
    sample_format: int
    several: bool
    alpha: bool
    planes: bool
    raw: bool
    reversed: bool

    @classmethod
    def of(cls, tags: Mapping[int, Any]) -> _Layout:
        bits = tags.get(ExifTags.Base.BitsPerSample, (1,))
        several = tags.get(ExifTags.Base.SamplesPerPixel, len(bits)) > 1
        return cls(
            photometric=int(tags.get(ExifTags.Base.PhotometricInterpretation, 0)),
            bits=int(max(bits)),
            sample_format=int(max(tags.get(ExifTags.Base.SampleFormat, (1,)))),
            several=several,
            alpha=bool({1, 2} & set(tags.get(_EXTRA_SAMPLES, ()))),
            planes=several and tags.get(ExifTags.Base.PlanarConfiguration, 1) == 2,
            raw=tags.get(ExifTags.Base.Compression, 1) == 1,
            reversed=tags.get(ExifTags.Base.FillOrder, 1) == 2,
        )


def _eight_bit(image: Image.Image) -> Image.Image:
    tags = getattr(image, "tag_v2", {})
    if tags and (gap := tiff_gap(tags)):
        raise PixelError(gap, "format")
    if image.mode in ("I", "F"):
        raise PixelError(
            f"has 32-bit grey samples (mode {image.mode}) with no defined range; "
            "convert it to 8 or 16 bits",
            "format",
        )
    image = _upright(image)
    if image.mode.startswith("I;16"):
        # By a table: ten times as fast as arithmetic, a tenth of its memory.
        largest = 4095 if tags and _Layout.of(tags).bits == 12 else 65535
        levels = np.round(np.arange(2**16) * (255 / largest))
        table = np.minimum(levels, 255).astype(np.uint8)
        return Image.fromarray(table[np.asarray(image)])
    if image.mode == "RGB":
        return image
    if "transparency" in image.info:  # Pillow warns of a palette's, and alpha is dropped anyway
        image = image.copy()
        del image.info["transparency"]
    if image.mode in ("1", "L"):
        return image
    try:
        return (image.convert("LA") if image.mode == "La" else image).convert("RGB")
    except ValueError as error:
        raise PixelError(
            f"is of mode {image.mode}, which is not supported; convert it to RGB", "format"
        ) from error


def _upright(image: Image.Image) -> Image.Image:
    """Turn as ImageOps.exif_transpose does, whatever else is in the EXIF block.

    That function copies an image which needs no turn (36 MB for 12 MP), and parses and writes the
    whole block to take the orientation out: broken tags raise, and hostile ones take seconds.
    """
    image.load()  # a PNG may name its orientation after its pixels
    turn = _TURNS.get(orientation(image))
    if turn is None:
        return image
    upright = image.transpose(turn)
    for name in _ORIENTED_BY:  # else the image would be turned again
        upright.info.pop(name, None)
    return upright


def orientation(image: Image.Image) -> Any:
    """Return the EXIF orientation, 1 to 8, or what stands in its place; None if there is none."""
    if image.format in _UPRIGHT:
        return None
    try:
        said = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # rubbish in the EXIF block is no reason to refuse sound pixels
        said = None
    if said is not None:
        return said
    # Pillow stops at the first tag that it cannot read.
    with suppress(Exception):
        block = _exif_block(image.info)
        said = _first_directory(block)
        if said in _TURNS:
            exif = Image.Exif()
            exif.load(block)
            if ExifTags.Base.Orientation in exif:  # the caller has deleted it
                return 1
    return said


def _exif_block(info: Mapping[Any, Any]) -> bytes:
    if "exif" in info:
        block: bytes = info["exif"]
        return block
    return bytes.fromhex("".join(info["Raw profile type exif"].split("\n")[3:]))


def _first_directory(block: bytes) -> Optional[int]:
    """Return the orientation of an EXIF block's first directory, read past broken entries."""
    while block.startswith(b"Exif\0\0"):
        block = block[6:]
    order = "<" if block.startswith(b"II") else ">"
    (start,) = struct.unpack_from(order + "I", block, 4)
    (entries,) = struct.unpack_from(order + "H", block, start)
    for at in range(start + 2, start + 2 + 12 * entries, 12):
        tag, kind, count, value = struct.unpack_from(order + "HHIH", block, at)
        if (tag, kind, count) == (ExifTags.Base.Orientation, 3, 1):  # one unsigned 16-bit number
            return int(value)
    return None
