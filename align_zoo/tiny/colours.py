"""The inks of each colour's name, and the distance that makes two colours look different."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

RGB = NDArray[np.float32]

# Ranges of hue (degrees), saturation and value for each name.
_RANGES = {
    "red": ((-8, 8), (0.75, 1.0), (0.70, 1.0)),
    "orange": ((24, 36), (0.85, 1.0), (0.90, 1.0)),
    "yellow": ((50, 60), (0.70, 1.0), (0.90, 1.0)),
    "green": ((100, 145), (0.55, 1.0), (0.40, 0.85)),
    "blue": ((210, 238), (0.65, 1.0), (0.55, 1.0)),
    "purple": ((266, 288), (0.50, 0.9), (0.45, 0.85)),
    "pink": ((322, 345), (0.30, 0.5), (0.95, 1.0)),
    "brown": ((16, 30), (0.60, 0.8), (0.28, 0.48)),
    "black": ((0, 360), (0.00, 0.3), (0.00, 0.12)),
    "white": ((0, 360), (0.00, 0.05), (0.94, 1.0)),
}


def _from_hsv(hue: float, saturation: float, value: float) -> RGB:
    rgb = colorsys.hsv_to_rgb(hue % 360 / 360, saturation, value)
    return np.array(rgb, dtype=np.float32)


def ink_colour(name: str, rng: np.random.Generator) -> RGB:
    """Choose a colour of the name, ``[3]`` in 0 to 1."""
    return _from_hsv(*(rng.uniform(low, high) for low, high in _RANGES[name]))


def distance(one: RGB, other: RGB) -> float:
    """Compute the visible difference of two colours, 0 to about 3 (by 'redmean')."""
    red = float(one[0] + other[0]) / 2
    weights = np.array([2 + red, 4, 3 - red], dtype=np.float32)
    return float(np.sqrt((weights * (one - other) ** 2).sum()))


def _any_colour(rng: np.random.Generator) -> RGB:
    kind = rng.random()
    if kind < 0.45:  # paper, walls, night
        value = rng.choice([rng.uniform(0.0, 0.25), rng.uniform(0.75, 1.0), rng.uniform(0.0, 1.0)])
        return _from_hsv(rng.uniform(0, 360), rng.uniform(0, 0.08), float(value))
    saturation = rng.uniform(0.05, 0.35) if kind < 0.8 else rng.uniform(0.4, 1.0)
    return _from_hsv(rng.uniform(0, 360), saturation, rng.uniform(0.15, 1.0))


def backdrop_palette(ink: RGB, count: int, rng: np.random.Generator, apart: float = 1.0) -> RGB:
    """Choose colours for a background, each far enough from the ink.

    Args:
        ink: The colour that must stand out, ``[3]``.
        count: The number of colours.
        rng: Chooses them.
        apart: The least ``distance`` to the ink, of the colours and of every blend of two.

    Returns:
        ``[count, 3]`` in 0 to 1.
    """
    chosen: list[RGB] = []
    blends = np.linspace(0.2, 1, 5, dtype=np.float32)
    while len(chosen) < count:
        new = _any_colour(rng)
        between = [old + (new - old) * t for old in chosen for t in blends] or [new]
        if all(distance(ink, colour) >= apart for colour in between):
            chosen.append(new)
        elif chosen and rng.random() < 0.1:  # few colours fit beside the chosen ones
            chosen.append(chosen[0].copy())
    return np.stack(chosen)
