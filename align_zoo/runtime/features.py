"""The last feature map of an image, and where its places lie in the image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Union

import numpy as np
from PIL import Image

from align_zoo.checkpoint.config import VisionConfig
from align_zoo.errors import InvalidInput
from align_zoo.inputs.preprocess import AlignTransform

__all__ = ["FeatureMap", "InputSize", "map_features"]

InputSize = Union[int, tuple[int, int], None]
"""The size of the tower's input: a height and a width in pixels; one number for about as many
pixels as a square of that side has, in the image's own proportions; or None for the checkpoint's.
"""

_MOST_PIXELS = 2_048**2
"""The largest input of the tower: align-base takes 5 GB for it."""


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """The last feature map of an image, whose mean over all places is the image's embedding."""

    values: np.ndarray
    """[D, h, w] float32."""
    image: Image.Image
    """The image, RGB and upright."""
    part: tuple[float, float, float, float]
    """The part of the image that the tower sees: left, top, right, bottom, in pixels."""
    centres: tuple[np.ndarray, np.ndarray]
    """The centres of the rows [h] and of the columns [w] of places, in pixels of the image."""

    def shares(self, texts: np.ndarray) -> np.ndarray:
        """Divide cosines into the shares of the places.

        Args:
            texts: vectors [T, D]; unit rows for cosines.

        Returns:
            [T, h, w] float32. The sum over all places is the product of a text and the image's unit
            embedding.
        """
        values = self.values.astype(np.float64)
        places = values.shape[1] * values.shape[2]
        norm = max(float(np.linalg.norm(values.mean(axis=(1, 2)))), 1e-12)
        products = np.einsum("td,dhw->thw", texts.astype(np.float64), values)
        return np.asarray(products / (places * norm), dtype=np.float32)


def map_features(
    image: Image.Image,
    *,
    transform: AlignTransform,
    tower: Callable[[np.ndarray], np.ndarray],
    vision: VisionConfig,
    size: InputSize = None,
) -> FeatureMap:
    """Compute the last feature map of an image.

    Args:
        image: RGB and upright.
        transform: the checkpoint's preprocessing.
        tower: computes the last feature maps [N, D, h, w] from pixels [N, C, H, W].
        vision: the shape of the tower.
        size: the size of the tower's input. The tower sees the same part of the image at any size.

    Raises:
        InvalidImage: the image is smaller than the crop, or the input is too small for the tower.
        InvalidInput: the size cannot be used, or the tower pools by maximum.
    """
    if vision.pooling_type != "mean":
        raise InvalidInput(
            f"this checkpoint pools by {vision.pooling_type!r}, so that its embedding is no mean "
            "over the places of an image; a heat map needs pooling_type 'mean'"
        )
    if size is not None:
        transform = transform.at_size(*_sides(size, image))
    pixels = transform.to_array(image)
    (values,) = tower(pixels[None])
    part = transform.part(*image.size)
    left, top, right, bottom = part
    height, width = pixels.shape[1:]
    distance, first = vision.grid
    rows, columns = (first + distance * np.arange(count) for count in values.shape[1:])
    centres = (
        top + rows * (bottom - top) / height,
        left + columns * (right - left) / width,
    )
    return FeatureMap(values, image, part, centres)


def _sides(size: int | tuple[int, int], image: Image.Image) -> tuple[int, int]:
    """Return the height and the width of the tower's input."""
    sides = size if isinstance(size, tuple | list) else (size, size)
    if len(sides) != 2 or not all(isinstance(side, Integral) and side > 0 for side in sides):
        raise InvalidInput(
            f"the size is {size!r}; give a whole number above 0, or a height and a width"
        )
    height, width = (int(side) for side in sides)
    if height * width > _MOST_PIXELS:
        raise InvalidInput(
            f"the size {height} x {width} has more than {_MOST_PIXELS:,} pixels; take a smaller one"
        )
    if isinstance(size, Integral):
        slope = math.sqrt(image.height / image.width)
        height, width = max(1, round(height * slope)), max(1, round(width / slope))
    return height, width
