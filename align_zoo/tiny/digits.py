"""Real handwritten digits: scikit-learn's, of 8x8 pixels, in two disjoint splits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from align_zoo.errors import to_install

# The set is in the order of its writers: the last fifth is by other people than the rest.
HELD_OUT_FROM = 1437


@dataclass(frozen=True)
class Digits:
    """Handwritten digits.

    Attributes:
        ink: The darkness of each pixel, ``[N, 8, 8]`` in 0 to 1.
        labels: The digits, ``[N]`` in 0 to 9.
    """

    ink: NDArray[np.float32]
    labels: NDArray[np.int64]


@cache
def load_digits(split: str) -> Digits:
    """Load the digits of one split.

    Args:
        split: ``"train"`` (1437 digits) or ``"held_out"`` (the last 360).

    Raises:
        ImportError: scikit-learn, which has the digits, is not installed.
        ValueError: There is no such split.
    """
    parts = {"train": slice(None, HELD_OUT_FROM), "held_out": slice(HELD_OUT_FROM, None)}
    if split not in parts:
        raise ValueError(f"split must be one of {sorted(parts)}, not {split!r}")
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(
            f"the handwritten digits come with scikit-learn: {to_install('.[train]')}"
        ) from error
    bunch = datasets.load_digits()
    part = parts[split]
    ink = (bunch.images[part] / 16).astype(np.float32)
    return Digits(ink, bunch.target[part].astype(np.int64))
