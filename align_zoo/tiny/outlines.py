"""The outlines of the shapes, as masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Points = NDArray[np.float64]  # [N, 2], in a circle of radius 1 around 0

_TURN = np.radians(28)


def _arc(count: int, start: float = 0.0) -> Points:
    angles = start + np.arange(count) * 2 * np.pi / count
    return np.stack([np.sin(angles), -np.cos(angles)], axis=1)


def _star(rng: np.random.Generator) -> Points:
    points = _arc(10)
    points[1::2] *= rng.uniform(0.36, 0.48)
    return points


def _cross(rng: np.random.Generator) -> Points:
    arm = rng.uniform(0.22, 0.36)
    corner = np.array([[arm, -1], [arm, -arm], [1, -arm]])
    quarter = np.array([[0, -1], [1, 0]])
    quarters = [corner @ np.linalg.matrix_power(quarter, turns).T for turns in range(4)]
    return np.concatenate(quarters) * 0.95


def _heart() -> Points:
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x, y - 2], axis=1) / 16


def _paths(shape: str, rng: np.random.Generator) -> tuple[Points, Points | None]:
    """Return the outline of a shape, and the outline of its hole."""
    if shape == "circle":
        return _arc(72), None
    if shape == "square":
        return _arc(4, np.pi / 4) * 1.12, None
    if shape == "triangle":
        return _arc(3) * 1.08 + [0, 0.15], None
    if shape == "star":
        return _star(rng) * 1.05, None
    if shape == "cross":
        return _cross(rng), None
    if shape == "ring":
        return _arc(72), _arc(72) * rng.uniform(0.48, 0.68)
    if shape == "heart":
        return _heart(), None
    if shape == "moon":
        return _arc(72), _arc(72) * rng.uniform(0.8, 0.92) + [rng.uniform(0.42, 0.55), 0]
    raise ValueError(f"there is no shape {shape!r}")


def shape_mask(shape: str, radius: float, rng: np.random.Generator) -> Image.Image:
    """Draw a shape, turned and a little stretched, as a mask.

    Args:
        shape: One of ``ALL_SHAPES``.
        radius: The radius of the circle around the shape, in pixels.
        rng: Chooses the proportions and the rotation.

    Returns:
        A mask (mode "L") of about ``2.6 * radius`` a side with the shape in its middle.
    """
    angle = rng.uniform(-_TURN, _TURN)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = np.exp(rng.normal(0, 0.06, 2))
    side, fine = max(8, round(2.6 * radius)), 3
    mask = Image.new("L", (side * fine, side * fine))
    draw = ImageDraw.Draw(mask)
    for path, value in zip(_paths(shape, rng), (255, 0), strict=True):
        if path is not None:
            placed = (path * stretch @ turn.T * radius + side / 2) * fine
            draw.polygon([(float(x), float(y)) for x, y in placed], fill=value)
    return mask.resize((side, side), Image.Resampling.BOX)
