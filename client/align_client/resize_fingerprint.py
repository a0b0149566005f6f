"""Compares by one number how this Pillow and the server's Pillow resize."""

from __future__ import annotations

import random
import zlib
from functools import lru_cache

from PIL import Image

from align_client.shrink import Resize

__all__ = ["resize_fingerprint", "resizes_alike"]

_SIZES = ((150, 900), (900, 150), (480, 640), (640, 480), (31, 97))


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
