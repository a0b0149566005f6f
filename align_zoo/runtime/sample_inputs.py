"""Images and texts on which towers are compared.

On values that no image has, such as normal noise, the activations of a sound network may explode,
and then no two sums in float32 agree. So every input here comes from an image or a text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from align_zoo.inputs.preprocess import AlignTransform

__all__ = ["TEXTS", "sample_pixels"]

_SAMPLES = Path(__file__).parents[1] / "assets" / "samples"
_SHIPPED = ("red-star.png", "digit-3.png")
_SMALL, _LARGER, _DEFAULT = (65, 75), (96, 101), (289, 289)
"""Odd and even sides, so that strides leave a remainder or none."""

TEXTS = (
    "a",
    "a photo of a cat",
    "two dogs, a red bus and 15 people in front of the old town hall of Zürich",
    "The quick brown fox jumps over the lazy dog. " * 12,
)
"""Texts of one word, of a few words, of many, and of more than any text tower takes."""


def sample_pixels(transform: AlignTransform, channels: int, smallest: int) -> Iterator[np.ndarray]:
    """Yield preprocessed images [N, channels, H, W] float32, a few of each of three sizes.

    The images are like photographs, on which every network is trained; shipped images; plain
    colours; and edges between the least and the greatest level.

    Args:
        transform: the checkpoint's transform.
        channels: the channels of the tower's images.
        smallest: the least side that the tower takes.
    """
    strong, other = _photograph(0), _photograph(1)
    pale = Image.blend(Image.new("RGB", other.size, "grey"), other, 0.4)
    star, digit = (Image.open(_SAMPLES / name).convert("RGB") for name in _SHIPPED)
    grey, black, white = (Image.new("RGB", (64, 64), name) for name in ("grey", "black", "white"))
    small, larger = _fitting(_SMALL, smallest), _fitting(_LARGER, smallest)
    # The served images have one size if the checkpoint resizes or crops.
    own = transform.input_size or _fitting(_DEFAULT, smallest)
    for size, images in (
        (small, [strong, pale, grey, digit, black, white, _edges()]),
        (larger, [strong, star, _edges()]),
        (own, [other, star]),
    ):
        sized = replace(transform, size=size, crop=None)
        pixels = np.stack([sized.to_array(image) for image in images])
        yield np.ascontiguousarray(pixels[:, np.arange(channels) % 3])


def _fitting(size: tuple[int, int], smallest: int) -> tuple[int, int]:
    height, width = size
    more = max(0, smallest - min(size))
    return height + more, width + more


def _photograph(seed: int) -> Image.Image:
    """Draw an image with the spectrum of photographs, whose amplitude falls with the frequency.

    Its brightness has a gradient, as light from one side makes it.
    """
    rng, height, width = np.random.default_rng(seed), 240, 320
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf  # no mean
    white = np.fft.rfft2(rng.standard_normal((3, height, width)))
    texture = np.fft.irfft2(white / frequency, s=(height, width))
    # The channels of a photograph have most of their light in common.
    texture = texture + 3 * texture[:1]
    light = rng.standard_normal(2) @ np.stack(
        [*np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")]
    ).reshape(2, -1)
    image = 50 * texture / texture.std() + 40 * light.reshape(height, width) + 128
    return Image.fromarray(image.clip(0, 255).round().astype(np.uint8).transpose(1, 2, 0))


def _edges() -> Image.Image:
    """Draw squares of 0 and 255 in each channel: the least and the greatest level side by side."""
    levels = np.random.default_rng(2).integers(0, 2, (12, 16, 3), dtype=np.uint8) * 255
    return Image.fromarray(levels).resize((320, 240), Image.Resampling.NEAREST)
