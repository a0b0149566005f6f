"""The drawings as pixels: rendered once by resvg, then kept in the cache folder."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from align_zoo.emoji.concepts import Concept, held_out_concepts, load_concepts, load_icons
from align_zoo.errors import AlignZooError, to_install
from align_zoo.progress import progress_bar
from align_zoo.writing import replacing

__all__ = ["Drawings", "load_drawings", "render"]

SIDE = 96


@dataclass(frozen=True)
class Drawings:
    """Drawings of concepts in several styles.

    Attributes:
        concepts: the concepts.
        pixels: premultiplied RGBA, ``[N, SIDE, SIDE, 4]``.
        concept: the index of each drawing's concept, ``[N]``.
        style: the style of each drawing.
    """

    concepts: list[Concept]
    pixels: NDArray[np.uint8]
    concept: NDArray[np.int64]
    style: list[str]

    @cached_property
    def held_out(self) -> NDArray[np.bool_]:
        """Whether no training sees the concept, ``[len(concepts)]``."""
        return held_out_concepts(len(self.concepts))

    def rows(self, styles: Iterable[str], *, held_out: bool = False) -> NDArray[np.int64]:
        """Return the drawings of the styles, of the held-out concepts or of all others."""
        chosen = np.isin(self.style, list(styles)) & (self.held_out[self.concept] == held_out)
        return np.flatnonzero(chosen)

    def on_white(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return drawings in front of white, ``[rows, SIDE, SIDE, 3]``."""
        pixels = self.pixels[rows]
        return pixels[..., :3] + (255 - pixels[..., 3:])


def render(svg: str, side: int = SIDE) -> NDArray[np.uint8]:
    """Render an SVG in a square, ``[side, side, 4]``: RGBA, premultiplied.

    Raises:
        AlignZooError: resvg_py is not installed.
        ValueError: the SVG cannot be rendered.
    """
    try:
        import resvg_py
    except ImportError:
        raise AlignZooError(f"drawings need resvg-py: {to_install('.[emoji]')}") from None
    png = resvg_py.svg_to_bytes(svg_string=svg, width=side, height=side, skip_system_fonts=True)
    drawn = Image.open(io.BytesIO(png)).convert("RGBA")
    square = Image.new("RGBA", (side, side))  # a drawing of another shape is centred
    square.paste(drawn, ((side - drawn.width) // 2, (side - drawn.height) // 2))
    pixels = np.asarray(square).astype(np.uint16)
    pixels[..., :3] = (pixels[..., :3] * pixels[..., 3:] + 127) // 255
    return pixels.astype(np.uint8)


def load_drawings(folder: Path) -> Drawings:
    """Read the packages, and render the concepts' drawings where the folder has none yet.

    Args:
        folder: the folder that keeps the packages and the rendered drawings.

    Raises:
        AlignZooError: npm or resvg is missing or fails, or a package has another hash.
    """
    icons = load_icons(folder)
    concepts = load_concepts(folder, icons)
    place = {each.hexcode: index for index, each in enumerate(concepts)}
    icons = [icon for icon in icons if icon.hexcode in place]
    pixels = _rendered(folder, [icon.svg for icon in icons])
    concept = np.array([place[icon.hexcode] for icon in icons])
    return Drawings(concepts, pixels, concept, [icon.style for icon in icons])


def _rendered(folder: Path, svgs: Sequence[str]) -> NDArray[np.uint8]:
    """Return the pixels of SVGs, ``[N, SIDE, SIDE, 4]``, from a file named by their hash."""
    digest = hashlib.sha256("\n".join(svgs).encode()).hexdigest()[:16]
    path = folder / f"drawings-{SIDE}-{digest}.npy"
    if not path.exists():
        pixels = np.empty((len(svgs), SIDE, SIDE, 4), np.uint8)
        with progress_bar("rendering drawings", len(svgs)) as advance:
            for row, svg in zip(pixels, svgs, strict=True):
                row[:] = render(svg)
                advance(1)
        with replacing(path) as part, part.open("wb") as file:
            np.save(file, pixels)
    found: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return found
