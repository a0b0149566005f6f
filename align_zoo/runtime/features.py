"""The last feature map of an image, and where its places lie in the image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import NamedTuple, Union

import numpy as np
from PIL import Image

from align_zoo.checkpoint.folder import open_checkpoint
from align_zoo.checkpoint.vision_config import VisionConfig
from align_zoo.errors import InvalidInput
from align_zoo.inputs.preprocess import AlignTransform, read_transform

__all__ = ["FeatureMap", "InputSize", "Layout", "map_features", "shares"]

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
        """Divide cosines into the shares of the places, as :func:`shares` does."""
        return shares(self.values, texts)


def shares(values: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Divide cosines into the shares of the places of a feature map.

    Args:
        values: the feature map [D, h, w].
        texts: vectors [T, D]; unit rows for cosines.

    Returns:
        [T, h, w] float32. The sum over all places is the product of a text and the image's unit
        embedding.
    """
    values = values.astype(np.float64)
    places = values.shape[1] * values.shape[2]
    norm = max(float(np.linalg.norm(values.mean(axis=(1, 2)))), 1e-12)
    products = np.einsum("td,dhw->thw", texts.astype(np.float64), values)
    return np.asarray(products / (places * norm), dtype=np.float32)


class Places(NamedTuple):
    """Where the places of a feature map lie in an image."""

    part: tuple[float, float, float, float]
    """The part of the image that the tower sees: left, top, right, bottom."""
    rows: np.ndarray
    """The centres of the rows [h]."""
    columns: np.ndarray
    """The centres of the columns [w]."""


@dataclass(frozen=True)
class Layout:
    """What of a checkpoint decides where the places of a feature map lie.

    >>> Layout.read("align_tiny").places((200.0, 100.0), (3, 3)).part
    (0.0, 0.0, 200.0, 100.0)
    """

    transform: AlignTransform
    vision: VisionConfig

    @classmethod
    def read(cls, name_or_folder: str, revision: str | None = None) -> Layout:
        """Read the layout of a checkpoint.

        Raises:
            CheckpointError: the checkpoint cannot be found, is damaged or not supported.
        """
        checkpoint = open_checkpoint(name_or_folder, revision=revision)
        return cls(read_transform(checkpoint), checkpoint.config.vision_config)

    def check(self) -> None:
        """Return if the embedding is the mean of the feature map.

        Raises:
            InvalidInput: the tower pools by maximum.
        """
        if self.vision.pooling_type != "mean":
            raise InvalidInput(
                f"this checkpoint pools by {self.vision.pooling_type!r}, so that its embedding is "
                "no mean over the places of an image; a heat map needs pooling_type 'mean'"
            )

    def places(
        self,
        size: tuple[float, float],
        shape: tuple[int, int],
        pixels: tuple[int, int] | None = None,
    ) -> Places:
        """Locate the places in an image.

        Args:
            size: the width and the height of the image, in the unit of the answer. A transform
                that does not resize needs pixels.
            shape: the rows and columns of the feature map.
            pixels: the height and the width of the tower's input; by default the transform's.
        """
        left, top, right, bottom = part = self.transform.part(*size)
        height, width = pixels or self.transform.input_size or (size[1], size[0])
        distance, first = self.vision.grid
        rows, columns = (first + distance * np.arange(count) for count in shape)
        return Places(
            part, top + rows * (bottom - top) / height, left + columns * (right - left) / width
        )


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
    Layout(transform, vision).check()
    if size is not None:
        transform = transform.at_size(*_sides(size, image))
    pixels = transform.to_array(image)
    (values,) = tower(pixels[None])
    found = Layout(transform, vision).places(
        image.size, values.shape[1:], pixels=(pixels.shape[1], pixels.shape[2])
    )
    return FeatureMap(values, image, found.part, (found.rows, found.columns))


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
