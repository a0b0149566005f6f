"""The drawing of a heat map: shares of an image's places in colours over the image in grey."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

__all__ = ["draw_overlay"]

_LARGEST = 2_048
"""The longest side of an overlay."""
_MARGIN = 2
"""The places around a map in which its border is repeated, for the pixels beyond the centres."""
_OPAQUE, _GAMMA = 0.85, 0.75

# By rising strength, in steps of about equal lightness (CIE L*), so that no share looks stronger
# than it is; the two colours of a difference are equally light.
_SEQUENTIAL = {
    False: ((1.0, 0.93, 0.6), (0.96, 0.6, 0.2), (0.86, 0.26, 0.2), (0.5, 0.05, 0.36)),
    True: ((0.2, 0.05, 0.36), (0.66, 0.18, 0.42), (0.97, 0.53, 0.18), (1.0, 0.95, 0.55)),
}
_FOR = {
    False: ((1.0, 0.87, 0.7), (0.72, 0.26, 0.0)),
    True: ((0.37, 0.19, 0.05), (0.98, 0.6, 0.2)),
}
_AGAINST = {
    False: ((0.77, 0.89, 1.0), (0.0, 0.4, 0.78)),
    True: ((0.05, 0.23, 0.42), (0.36, 0.71, 1.0)),
}


def draw_overlay(
    ground: Image.Image,
    shares: np.ndarray,
    *,
    size: tuple[int, int],
    part: tuple[float, float, float, float],
    centres: tuple[np.ndarray, np.ndarray],
    signed: bool,
    dark: bool,
) -> Image.Image:
    """Lay shares over an image as :meth:`Heatmap.overlay` describes.

    Args:
        ground: the image, RGB and upright, of any size.
        shares: [h, w].
        size: width and height of the image in whose pixels ``part`` and ``centres`` are.
        part: the part with shares: left, top, right, bottom.
        centres: the centres of the rows [h] and of the columns [w] of places.
        signed: whether negative shares have a colour of their own.
        dark: whether the ground of the colours is dark.
    """
    if max(ground.size) > _LARGEST:  # a photograph would take gigabytes
        ground = ImageOps.contain(ground, (_LARGEST, _LARGEST))
    grey = np.asarray(ground.convert("L"), dtype=np.float32)[..., None] / 255
    base = np.float32(0.06 if dark else 1.0)
    canvas = base + (grey - base) * np.float32(0.75)
    x, y = ground.width / size[0], ground.height / size[1]
    left, top, right, bottom = (
        round(edge * scale) for edge, scale in zip(part, (x, y, x, y), strict=True)
    )
    strength = _strength(shares, signed, (right - left, bottom - top), part, centres)
    seen = canvas[top:bottom, left:right]
    if not signed:
        colours = _colours(strength, _SEQUENTIAL[dark])
    else:
        positive = strength[..., None] >= 0
        strength = np.abs(strength)
        colours = np.where(
            positive, _colours(strength, _FOR[dark]), _colours(strength, _AGAINST[dark])
        )
    opacity = (_OPAQUE * strength**_GAMMA)[..., None]
    relief = 0.55 + 0.45 * grey[top:bottom, left:right]
    coloured = seen + opacity * (colours * relief - seen)
    canvas = base + (canvas - base) * np.float32(0.35)
    canvas = np.repeat(canvas, 3, axis=2)
    canvas[top:bottom, left:right] = coloured
    return Image.fromarray((np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8))


def _strength(
    shares: np.ndarray,
    signed: bool,
    pixels: tuple[int, int],
    part: tuple[float, float, float, float],
    centres: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Return the shares over the greatest, from -1 or 0 to 1, for each pixel of the part."""
    floor = -1.0 if signed else 0.0
    greatest = float(np.abs(shares).max() if signed else shares.max())
    scaled = shares / greatest if greatest > 0 else np.zeros_like(shares)
    wide = Image.fromarray(np.pad(scaled.astype(np.float32), _MARGIN, mode="edge"))
    left, top, right, bottom = part
    rows, columns = centres
    (y, below), (x, after) = _places(rows, top, bottom), _places(columns, left, right)
    smooth = wide.resize(pixels, Image.Resampling.BICUBIC, box=(x, y, after, below))
    return np.clip(np.asarray(smooth), floor, 1)


def _colours(strength: np.ndarray, ramp: Sequence[tuple[float, ...]]) -> np.ndarray:
    """Return a colour [H, W, 3] for each strength, 0 to 1."""
    steps = np.linspace(0, 1, len(ramp))
    return np.stack([np.interp(strength, steps, band) for band in np.transpose(ramp)], axis=-1)


def _places(centres: np.ndarray, first: float, last: float) -> tuple[float, float]:
    """Return the ends of the part, in places from the border of the widened map."""
    distance = centres[1] - centres[0] if len(centres) > 1 else last - first
    ends = [(end - centres[0]) / distance + 0.5 + _MARGIN for end in (first, last)]
    most = float(len(centres) + 2 * _MARGIN)
    return min(max(ends[0], 0.0), most), min(max(ends[1], 0.0), most)
