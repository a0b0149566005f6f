"""Shrinks large images to the size of the served model before they are sent."""

from __future__ import annotations

import io
import random
import threading
import zlib
from functools import lru_cache
from typing import NamedTuple, Optional

from PIL import Image

from align_client.cores import usable_cores
from align_client.errors import InvalidInput
from align_client.fork_local import ForkLocal
from align_client.pixels import eight_bit, open_image

__all__ = [
    "NO_RESIZE",
    "Resize",
    "as_png",
    "is_large",
    "resize_fingerprint",
    "resizes_alike",
    "shrunk_file",
    "shrunk_image",
    "tiny_png",
]

# The server's formats that Pillow reads. HEIF is sent as it is. AVIF is the last:
# a Pillow that does not know the name fails where it meets it.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

_SIZES = ((150, 900), (900, 150), (480, 640), (640, 480), (31, 97))
"""The sizes of the images that are resized to compare two Pillows."""

_SMALL = 65_536
"""An image of at most this many bytes is not worth shrinking."""

# Limits how many files are decoded at once: more than there are cores would not be faster, and
# each takes 4 bytes a pixel.
_decoding_slots = ForkLocal(lambda: threading.BoundedSemaphore(usable_cores()))


class Resize(NamedTuple):
    """How the served model resizes an image before all other steps."""

    height: int
    width: int
    resample: int
    """The number of the filter in PIL: 2 is bilinear."""
    check: Optional[int] = None
    """A checksum of known images as the server's PIL resizes them; None from older servers."""


NO_RESIZE = Resize(0, 0, 0)
"""The model does not resize, or the server does not say how."""


def is_large(size: int, resize: Resize = NO_RESIZE) -> bool:
    """Return whether an image is worth shrinking.

    A shrunk image is a PNG file of at most about its raw pixels.

    Args:
        size: bytes of the file, or of the raw RGB pixels.
        resize: the size to shrink to.
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
    """Return the pixels that the server would make; its own resize then changes nothing.

    Args:
        image: an image as :func:`eight_bit` returns it.
        resize: how the server resizes; not NO_RESIZE.
    """
    size = (resize.width, resize.height)
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    small = rgb.resize(size, Image.Resampling(resize.resample))
    small.info = {}
    return small


def shrunk_file(data: bytes, resize: Resize, *, draft: bool = False) -> Optional[bytes]:
    """Shrink an encoded file to a PNG file.

    Args:
        data: the file.
        resize: how the server resizes.
        draft: let the JPEG decoder halve the image, up to three times, while it stays at least
            twice as large as needed. This is faster, but the pixels differ slightly.

    Returns:
        The PNG file. None if shrinking would not pay, or if the file cannot be decoded: the
        server then finds the same fault and names it.

    Raises:
        InvalidInput: the image has more pixels than PIL's limit.
    """
    if resize == NO_RESIZE or not is_large(len(data), resize):
        return None
    try:
        with _decoding_slots.value:
            image = open_image(data, _FORMATS)
            _check_pixels(image)
            if not is_large(3 * image.width * image.height, resize):
                return None
            if draft:
                # A square, because EXIF may still turn the image.
                image.draft(None, (2 * max(resize[:2]), 2 * max(resize[:2])))
            return as_png(shrunk_image(eight_bit(image), resize))
    except Image.DecompressionBombError as error:
        raise InvalidInput(_too_many(str(error))) from error
    except InvalidInput:
        raise
    except Exception:  # decoders fail on damaged files in many ways
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


def resizes_alike(resize: Resize) -> bool:
    """Return whether this Pillow resizes images to the same pixels as the server's Pillow.

    From version 13 on Pillow resizes the columns of some tall images before their rows, and
    rounds in between, so a tenth of the pixels is one grey level off those of older versions.
    """
    return resize.check is not None and resize.check == resize_fingerprint(
        resize._replace(check=None)
    )


@lru_cache(maxsize=8)
def resize_fingerprint(resize: Resize) -> int:
    """Compute what a server whose Pillow resizes as this one gives as ``RESIZE_CHECK``."""
    # The same computation as align_zoo.serving.model.outputs.resize_fingerprint.
    check, noise = 0, random.Random(0)
    for size in _SIZES:
        image = Image.frombytes("RGB", size, noise.randbytes(3 * size[0] * size[1]))
        resized = image.resize((resize.width, resize.height), Image.Resampling(resize.resample))
        check = zlib.crc32(resized.tobytes(), check)
    return check
