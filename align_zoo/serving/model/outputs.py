"""Outputs that say what a client may rely on: checkpoint, runtime, and how the server resizes."""

from __future__ import annotations

import random
import zlib

import numpy as np
from PIL import Image

from align_zoo.runtime.encoder import Encoder

__all__ = ["provenance", "resize_fingerprint"]

_SIZES = ((150, 900), (900, 150), (480, 640), (640, 480), (31, 97))


def provenance(encoder: Encoder) -> dict[str, np.ndarray]:
    """``CHECKPOINT`` and ``RUNTIME``, [1] each."""
    # A reason may name a path, which Triton's Python may know by its bytes alone.
    runtime = encoder.explanation.encode("utf-8", "surrogateescape")
    outputs = {"CHECKPOINT": encoder.fingerprint.encode(), "RUNTIME": runtime}
    return {name: np.array([value], dtype=np.object_) for name, value in outputs.items()}


def resize_fingerprint(height: int, width: int, resample: int) -> int:
    """CRC-32 of what this Pillow makes of known pictures at a size.

    From version 13 on Pillow resizes the columns of some tall pictures before their rows, and
    rounds in between, so a tenth of the pixels is a grey level off what older ones make. Clients
    (``align_client.resize_fingerprint``, which computes the same) send pixels of their own making
    only where there is no difference.

    Args:
        height: to which they are resized.
        width: the same.
        resample: PIL's number of the filter.
    """
    check, noise = 0, random.Random(0)
    for size in _SIZES:
        image = Image.frombytes("RGB", size, noise.randbytes(3 * size[0] * size[1]))
        resized = image.resize((width, height), Image.Resampling(resample))
        check = zlib.crc32(resized.tobytes(), check)
    return check
