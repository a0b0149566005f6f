"""Backgrounds: plain, gradients, clouds, noise, stripes, checks, and clutter of many hues."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from align_zoo.tiny.colours import RGB, backdrop_palette

Canvas = NDArray[np.float32]  # [H, W, 3] in 0 to 1


def _grid(width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return x / width, y / height


def _mix(weight: NDArray[np.float32], one: RGB, other: RGB) -> Canvas:
    return one + np.clip(weight, 0, 1)[..., None] * (other - one)


def _along(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float32]:
    """Draw a ramp of 0 to 1 across the image in a random direction, ``[H, W]``."""
    x, y = _grid(width, height)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
    return (ramp - ramp.min()) / (ramp.max() - ramp.min())


def _plain(rng: np.random.Generator, palette: RGB, width: int, height: int) -> Canvas:
    return np.broadcast_to(palette[0], (height, width, 3)).copy()


def _gradient(rng: np.random.Generator, palette: RGB, width: int, height: int) -> Canvas:
    return _mix(_along(rng, width, height), palette[0], palette[1])


def _vignette(rng: np.random.Generator, palette: RGB, width: int, height: int) -> Canvas:
    x, y = _grid(width, height)
    radius = np.hypot(x - rng.uniform(0.2, 0.8), y - rng.uniform(0.2, 0.8))
    return _mix(radius * np.float32(rng.uniform(1.0, 1.8)), palette[0], palette[1])


def _clouds(rng: np.random.Generator, palette: RGB, width: int, height: int) -> Canvas:
    cells = int(rng.integers(3, 12))
    coarse = Image.fromarray(rng.integers(0, 256, (cells, cells), dtype=np.uint8))
    smooth = coarse.resize((width, height), Image.Resampling.BICUBIC)
    return _mix(np.asarray(smooth, dtype=np.float32) / 255, palette[0], palette[1])


def _stripes(rng: np.random.Generator, palette: RGB, width: int, height: int) -> Canvas:
    phase = _along(rng, width, height) * np.float32(rng.uniform(3, 12))
    return _mix((phase % 1 < 0.5).astype(np.float32), palette[0], palette[1])


def _checks(rng: np.random.Generator, palette: RGB, width: int, height: int) -> Canvas:
    one, other = _along(rng, width, height), _along(rng, width, height)
    cells = np.float32(rng.uniform(3, 9))
    odd = (np.floor(one * cells) + np.floor(other * cells)) % 2
    return _mix(odd, palette[0], palette[1])


def _clutter(rng: np.random.Generator, palette: RGB, width: int, height: int) -> Canvas:
    base = _gradient(rng, palette, width, height)
    image = Image.fromarray((base * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(4, 22))):
        colour = tuple(int(c * 255) for c in palette[rng.integers(len(palette))])
        centre = rng.uniform(0, 1, 2) * (width, height)
        reach = rng.uniform(0.03, 0.16) * min(width, height)
        corners = centre + rng.normal(0, 1, (int(rng.integers(2, 6)), 2)) * reach
        points = [(float(px), float(py)) for px, py in corners]
        if len(points) == 2 or rng.random() < 0.4:
            draw.line(points, fill=colour, width=int(rng.integers(1, 4)))
        else:
            draw.polygon(points, fill=colour)
    return np.asarray(image, dtype=np.float32) / 255


_KINDS = (_plain, _gradient, _vignette, _clouds, _stripes, _checks, _clutter)
_CALM = (_plain, _gradient, _vignette)
_ODDS = (0.28, 0.22, 0.12, 0.14, 0.06, 0.05, 0.13)


def paint_backdrop(
    rng: np.random.Generator, ink: RGB, width: int, height: int, calm: bool = False
) -> Canvas:
    """Draw a background on which the ink stands out.

    Args:
        rng: Chooses the kind and the colours.
        ink: The colour of the thing in front, ``[3]``.
        width: In pixels.
        height: In pixels.
        calm: Draw plain backgrounds and gradients only.

    Returns:
        ``[height, width, 3]`` in 0 to 1.
    """
    if calm:
        paint = _CALM[int(rng.integers(len(_CALM)))]
    else:
        paint = _KINDS[int(rng.choice(len(_KINDS), p=_ODDS))]
    return paint(rng, backdrop_palette(ink, 4, rng), width, height).astype(np.float32)
