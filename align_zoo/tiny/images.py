"""Draws an image of a meaning: the thing, the background, and a camera's noise and blur."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from align_zoo.tiny.backdrops import Canvas, paint_backdrop
from align_zoo.tiny.colours import RGB, ink_colour
from align_zoo.tiny.concepts import Meaning
from align_zoo.tiny.outlines import shape_mask

_REACH = 0.44  # the part of a side, from the middle, that the centre crop keeps

Diameters = dict[str | None, tuple[float, float]]


@dataclass(frozen=True)
class Style:
    """The difficulty of an image.

    Attributes:
        diameters: By size word, the range of the thing's diameter over the image's shorter side.
        calm: Draw plain backgrounds and gradients only.
        camera: Add noise, blur and compression.
        side: The range of the image's shorter side, in pixels.
    """

    diameters: Diameters
    calm: bool = False
    camera: bool = True
    side: tuple[int, int] = (80, 144)


EVERYDAY = Style({"small": (0.34, 0.42), None: (0.44, 0.58), "big": (0.60, 0.82)})
EASY = Style({"small": (0.45, 0.5), None: (0.5, 0.6), "big": (0.65, 0.8)}, calm=True, camera=False)


def _digit_mask(glyph: NDArray[np.float32], height: float, rng: np.random.Generator) -> Image.Image:
    """Enlarge a digit of 8x8 pixels to a mask of about ``1.4 * height`` a side."""
    methods = (
        Image.Resampling.BICUBIC,
        Image.Resampling.BILINEAR,
        Image.Resampling.LANCZOS,
        Image.Resampling.NEAREST,
    )
    method = methods[int(rng.choice(4, p=(0.4, 0.25, 0.25, 0.1)))]
    padded = np.pad(glyph, 2)
    side = max(12, round(height * 1.5))
    small = Image.fromarray((padded * 255).astype(np.uint8))
    mask = small.resize((side, side), method)
    angle, shear = rng.uniform(-11, 11), rng.uniform(-0.15, 0.15)
    middle = side / 2
    mask = mask.rotate(angle, Image.Resampling.BICUBIC)
    stretch = np.exp(rng.normal(0, 0.08, 2))
    matrix = (
        stretch[0],
        shear,
        middle - stretch[0] * middle - shear * middle,
        0.0,
        stretch[1],
        middle - stretch[1] * middle,
    )
    mask = mask.transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    if method == Image.Resampling.NEAREST or rng.random() < 0.4:
        return mask
    level, steepness = rng.uniform(0.35, 0.5), rng.uniform(1.5, 4)  # a pen's edge, not a blur
    sharp = np.clip((np.asarray(mask, np.float32) / 255 - level) * steepness + 0.5, 0, 1)
    return Image.fromarray((sharp * 255).astype(np.uint8))


def _place(mask: Image.Image, radius: float, rng: np.random.Generator, canvas: Canvas) -> Canvas:
    """Place the mask on the canvas, within the centre crop; ``[H, W, 1]`` in 0 to 1."""
    height, width = canvas.shape[:2]
    spread = [max(0.0, _REACH * side - radius) for side in (width, height)]
    x, y = (rng.uniform(-room, room) for room in spread)
    layer = Image.new("L", (width, height))
    left = round(width / 2 + x - mask.width / 2)
    top = round(height / 2 + y - mask.height / 2)
    layer.paste(mask, (left, top))
    return np.asarray(layer, dtype=np.float32)[..., None] / 255


def lay(canvas: Canvas, cover: Canvas, colour: RGB | Canvas) -> Canvas:
    """Lay a colour over the canvas where the cover, ``[H, W, 1]`` in 0 to 1, is above 0."""
    return canvas + cover * (colour - canvas)


def _blurred(cover: Canvas, radius: float) -> Canvas:
    layer = Image.fromarray((cover[..., 0] * 255).astype(np.uint8))
    soft = layer.filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(soft, dtype=np.float32)[..., None] / 255


def shade(ink: RGB, canvas: Canvas, rng: np.random.Generator) -> Canvas:
    """Draw the ink under an uneven light, ``[H, W, 3]``."""
    height, width = canvas.shape[:2]
    strength = rng.uniform(0, 0.12)
    ramp = np.linspace(1 - strength, 1 + strength, width, dtype=np.float32)
    light = np.broadcast_to(ramp if rng.random() < 0.5 else ramp[::-1], (height, width))
    return np.clip(ink * light[..., None], 0, 1)


def photograph(canvas: Canvas, rng: np.random.Generator) -> Image.Image:
    """Add noise, blur and compression."""
    if rng.random() < 0.4:
        canvas = canvas + rng.normal(0, rng.uniform(0.01, 0.06), canvas.shape)
    canvas = canvas * rng.uniform(0.9, 1.08) + rng.uniform(-0.03, 0.03)
    image = Image.fromarray((np.clip(canvas, 0, 1) * 255).astype(np.uint8))
    if rng.random() < 0.25:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.0)))
    if rng.random() < 0.25:
        file = BytesIO()
        image.save(file, "JPEG", quality=int(rng.integers(30, 90)))
        image = Image.open(file).convert("RGB")
    return image


def draw_image(
    meaning: Meaning,
    rng: np.random.Generator,
    glyph: NDArray[np.float32] | None = None,
    style: Style = EVERYDAY,
) -> Image.Image:
    """Draw an image of a meaning.

    Args:
        meaning: The meaning, which has a colour, and a shape or a digit.
        rng: Chooses place, rotation, background and noise.
        glyph: The handwritten digit, ``[8, 8]`` in 0 to 1, of a meaning with a digit.
        style: The difficulty.

    Returns:
        An RGB image.

    Raises:
        ValueError: The meaning names no colour, or neither a shape nor a digit with its glyph.
    """
    if meaning.colour is None or (meaning.shape is None and glyph is None):
        raise ValueError(f"not enough to draw in {meaning}")
    short = rng.uniform(*style.side)
    aspect = 1.0 if rng.random() < 0.3 else rng.uniform(1.0, 1.35)
    sides = (round(short), round(short * aspect))
    width, height = sides if rng.random() < 0.5 else sides[::-1]
    ink = ink_colour(meaning.colour, rng)
    canvas = paint_backdrop(rng, ink, width, height, style.calm)
    radius = rng.uniform(*style.diameters[meaning.size]) * short / 2
    if meaning.shape is not None:
        mask = shape_mask(meaning.shape, radius, rng)
    else:
        assert glyph is not None
        radius = max(radius, 0.3 * short)
        mask = _digit_mask(glyph, 2 * radius, rng)
    cover = _place(mask, radius, rng, canvas)
    if rng.random() < 0.15:
        shadow = np.roll(_blurred(cover, radius / 6), round(radius / 5), axis=(0, 1))
        canvas = lay(canvas, shadow * rng.uniform(0.2, 0.5), np.zeros(3, np.float32))
    canvas = lay(canvas, cover, shade(ink, canvas, rng)).astype(np.float32)
    if style.camera:
        return photograph(canvas, rng)
    return Image.fromarray((np.clip(canvas, 0, 1) * 255).astype(np.uint8))
