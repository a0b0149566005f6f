"""Draw scenes of two shapes, and the document's heat map: ``python -m align_zoo.tiny.scenes OUT``.

The page's columns are a scene, and where align_tiny sees the one shape, the other, and the
difference of both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer
from PIL import Image, ImageDraw, ImageFont

from align_zoo.runtime.load import load_encoder
from align_zoo.tiny.backdrops import paint_backdrop
from align_zoo.tiny.colours import distance, ink_colour
from align_zoo.tiny.concepts import Meaning
from align_zoo.tiny.images import EVERYDAY, Style, lay, photograph, shade
from align_zoo.tiny.outlines import shape_mask
from align_zoo.zero_shot.heatmap import heatmap

__all__ = ["SCENE_SIZE", "Scene", "draw_scene"]

SCENE_SIZE = (130, 260)
"""The size of the tower's input at which a shape of a scene is as large as in training."""

_MARGIN = 0.08
"""The part of a side that the centre crop cuts from either end."""
_APART = 0.8
"""The least ``distance`` of a shape's colour to the background."""

_SHOWN = ((Meaning("blue", "triangle"), 21), (Meaning("red", "circle"), 22))
"""The other shapes of the document's scenes, and the seeds of the scenes."""


class Scene(NamedTuple):
    """An image of two shapes, and the circles around both shapes: x, y and radius in pixels."""

    image: Image.Image
    one: tuple[float, float, float]
    other: tuple[float, float, float]


def draw_scene(
    one: Meaning,
    other: Meaning,
    rng: np.random.Generator,
    *,
    side: int = 120,
    style: Style = EVERYDAY,
) -> Scene:
    """Draw two shapes side by side, in random order, on a background of twice its height.

    Args:
        one: A shape and its colour.
        other: Another shape and its colour.
        rng: Chooses places, sizes, rotations, the background and noise.
        side: The height of the image, in pixels; the width is twice the height.
        style: The difficulty.
    """
    inks = [ink_colour(str(each.colour), rng) for each in (one, other)]
    canvas = paint_backdrop(rng, inks[0], 2 * side, side, style.calm)
    while any(distance(inks[1], pixel) < _APART for pixel in canvas[::8, ::8].reshape(-1, 3)):
        canvas = paint_backdrop(rng, inks[0], 2 * side, side, style.calm)
    circles = []
    for meaning, ink, half in zip((one, other), inks, rng.permutation(2), strict=True):
        radius = rng.uniform(*style.diameters[meaning.size]) * side / 2
        # The edges of this shape's half, without what the crop cuts away.
        left = 2 * side * (0.5 if half else _MARGIN)
        right = 2 * side * (1 - _MARGIN if half else 0.5)
        x = rng.uniform(left + radius, right - radius)
        y = rng.uniform(side * _MARGIN + radius, side * (1 - _MARGIN) - radius)
        mask = shape_mask(str(meaning.shape), radius, rng)
        layer = Image.new("L", (2 * side, side))
        layer.paste(mask, (round(x - mask.width / 2), round(y - mask.height / 2)), mask)
        cover = np.asarray(layer, dtype=np.float32)[..., None] / 255
        canvas = lay(canvas, cover, shade(ink, canvas, rng)).astype(np.float32)
        circles.append((x, y, radius))
    return Scene(photograph(canvas, rng), *circles)


def draw(out: Path) -> None:
    """Write scenes and their heat maps as a PNG."""
    encoder, star = load_encoder("align_tiny"), Meaning("red", "star")
    side, gap, line = 150, 10, 20
    sheet = Image.new("RGB", (4 * (2 * side + gap), len(_SHOWN) * (side + line + gap)), "white")
    write, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for row, (other, seed) in enumerate(_SHOWN):
        image = draw_scene(star, other, np.random.default_rng(seed), side=side).image
        text, against = (f"a {each.colour} {each.shape}" for each in (star, other))
        heats = [
            heatmap(encoder, image, text, size=SCENE_SIZE),
            heatmap(encoder, image, against, size=SCENE_SIZE),
            heatmap(encoder, image, text, against=against, size=SCENE_SIZE),
        ]
        captions = ["the image", text, against, f"{text} against {against}"]
        images = [image, *(heat.overlay() for heat in heats)]
        for column, (shown, caption) in enumerate(zip(images, captions, strict=True)):
            corner = (column * (2 * side + gap), row * (side + line + gap))
            write.text(corner, caption, "#444444", font)
            sheet.paste(shown, (corner[0], corner[1] + line))
    sheet.save(out, optimize=True)


def main(out: Annotated[Path, typer.Argument(help="The PNG to write.")]) -> None:
    """Draw scenes and where align_tiny looks."""
    draw(out)


if __name__ == "__main__":
    typer.run(main)
