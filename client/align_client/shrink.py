"""Large pictures at the size that the served model resizes to, before they are sent."""

from __future__ import annotations

import io
import threading
from typing import NamedTuple, Optional

from PIL import Image

from align_client.cores import usable_cores
from align_client.errors import InvalidInput
from align_client.fork_local import ForkLocal
from align_client.pixels import eight_bit

__all__ = [
    "NO_RESIZE",
    "Resize",
    "as_png",
    "is_large",
    "shrunk_file",
    "shrunk_image",
    "tiny_png",
]

# The server's. Of another format it is to say itself that it does not take it.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")

_SMALL = 65_536
"""Bytes with which there is nothing to gain."""

# Files decoded at a time. More would not be faster, and each takes 4 bytes a pixel.
_decoding_slots = ForkLocal(lambda: threading.BoundedSemaphore(usable_cores()))


class Resize(NamedTuple):
    """What the served model does to a picture first."""

    height: int
    width: int
    resample: int
    """PIL's number of the filter: 2 is bilinear."""
    check: Optional[int] = None
    """What the server's PIL makes of known pictures, in one number; None if it does not say."""


NO_RESIZE = Resize(0, 0, 0)
"""The model takes pictures as they are, or does not say what it does."""


def is_large(size: int, resize: Resize = NO_RESIZE) -> bool:
    """Whether it pays to shrink what has so many bytes, as a file or as raw RGB pixels.

    Shrunk, it is a PNG of about its raw pixels at most.
    """
    return size > max(_SMALL, 3 * resize.height * resize.width)


def as_png(image: Image.Image) -> bytes:
    """Return a PNG file of the image, without loss."""
    file = io.BytesIO()
    # Level 1: most of the gain for a fraction of the time.
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def tiny_png() -> bytes:
    """Return a minimal image for querying the server's resize settings."""
    return as_png(Image.new("RGB", (8, 8)))


def shrunk_image(image: Image.Image, resize: Resize) -> Image.Image:
    """The pixels that the server would make, which its own resize then leaves as they are.

    Args:
        image: as :func:`eight_bit` returns it.
        resize: not NO_RESIZE.
    """
    size = (resize.width, resize.height)
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    small = rgb.resize(size, Image.Resampling(resize.resample))
    small.info = {}
    return small


def shrunk_file(data: bytes, resize: Resize, *, draft: bool = False) -> Optional[bytes]:
    """An encoded file as a PNG of that size; None where that would not be smaller.

    None for what cannot be decoded, too: the server finds the same, and says what.

    Args:
        data: the file.
        resize: how the server would.
        draft: let JPEG's decoder halve the picture, up to three times, while it stays twice as
            large as needed. Faster, but other pixels.

    Raises:
        InvalidInput: more pixels than PIL's limit.
    """
    if resize == NO_RESIZE or not is_large(len(data), resize):
        return None
    try:
        with _decoding_slots.value:
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
            _check_pixels(image)
            if not is_large(3 * image.width * image.height, resize):
                return None
            if draft:
                # A square, for EXIF may yet turn the picture.
                image.draft(None, (2 * max(resize[:2]), 2 * max(resize[:2])))
            return as_png(shrunk_image(eight_bit(image), resize))
    except Image.DecompressionBombError as error:
        raise InvalidInput(_too_many(str(error))) from error
    except InvalidInput:
        raise
    except Exception:  # whatever a decoder meets in a damaged file
        return None


def _check_pixels(image: Image.Image) -> None:
    most, pixels = Image.MAX_IMAGE_PIXELS, image.width * image.height
    if most is not None and pixels > most:
        size = f"{image.width} x {image.height} = {pixels:,} pixels"
        raise InvalidInput(_too_many(f"it has {size}; PIL's limit is {most:,}"))


def _too_many(reason: str) -> str:
    return (
        f"the image is not decoded here to be shrunk ({reason}): raise PIL.Image.MAX_IMAGE_PIXELS "
        "if it can be trusted, or send it with shrink=False"
    )
