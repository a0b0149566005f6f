"""A tower as every runtime gives it to an ``Encoder``: numpy in, unit vectors out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, NoReturn, Protocol

import numpy as np

from align_zoo.errors import InvalidInput

__all__ = ["ImageTower", "SlowPath", "TextTower", "not_loaded"]

TextTower = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Computes unit embeddings [N, D] float32 from token ids and mask [N, L] int64, for any N."""


class ImageTower(Protocol):
    """The image tower in a runtime, from pixels [N, 3, H, W] float32, for any N."""

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Compute unit embeddings [N, D] float32."""

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Compute the last feature maps [N, D, h, w] float32."""


class SlowPath(NamedTuple):
    """The cost of a tower that is not on its fastest path on this machine."""

    factor: float
    """The time of an item, divided by the time on the fastest path, about."""
    reason: str = ""
    """Why the path is slow, unless the encoder's own reason says so."""


def not_loaded() -> NoReturn:
    """Refuse to load the tower that ``load_encoder(only=...)`` left out.

    Raises:
        InvalidInput: always.
    """
    raise InvalidInput("this encoder was loaded for the other tower only; load it without only=")
