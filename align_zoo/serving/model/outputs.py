"""The outputs beside the embedding: the checkpoint, the runtime, and the server's resize."""

from __future__ import annotations

import random
import zlib

import numpy as np
from PIL import Image

from align_zoo.runtime.encoder import Encoder

__all__ = ["FEATURES", "of_features", "provenance", "resize_fingerprint"]

FEATURES = "FEATURES"
"""The output of feature maps, for requests that name it."""

_SIZES = ((150, 900), (900, 150), (480, 640), (640, 480), (31, 97))


def of_features(maps: np.ndarray) -> dict[str, np.ndarray]:
    """Return the outputs ``EMBEDDING`` [N, D] and ``FEATURES`` of feature maps [N, D, h, w]."""
    means = maps.mean(axis=(2, 3), dtype=np.float64)
    norms = np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return {"EMBEDDING": (means / norms).astype(np.float32), FEATURES: maps}


def provenance(encoder: Encoder) -> dict[str, np.ndarray]:
    """Return the outputs ``CHECKPOINT`` and ``RUNTIME``, [1] each."""
    # A reason may name a path that is not valid UTF-8 for Triton's Python.
    runtime = encoder.explanation.encode("utf-8", "surrogateescape")
    outputs = {"CHECKPOINT": encoder.fingerprint.encode(), "RUNTIME": runtime}
    return {name: np.array([value], dtype=np.object_) for name, value in outputs.items()}


def resize_fingerprint(height: int, width: int, resample: int) -> int:
    """Return the CRC-32 of known images, resized by this Pillow to a size.

    From version 13 on, Pillow resizes the columns of some tall images before their rows, and rounds
    in between, so that a tenth of the pixels differs by one grey level from older versions. Clients
    resize images themselves only if the fingerprints are equal;
    ``align_client.shrink.resize_fingerprint`` computes the same number.

    Args:
        height: the height of the resized images.
        width: the width of the resized images.
        resample: PIL's number of the filter.
    """
    check, noise = 0, random.Random(0)
    for size in _SIZES:
        image = Image.frombytes("RGB", size, noise.randbytes(3 * size[0] * size[1]))
        resized = image.resize((width, height), Image.Resampling(resample))
        check = zlib.crc32(resized.tobytes(), check)
    return check
