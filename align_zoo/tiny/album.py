"""Draw an album to try a collection with: ``python -m align_zoo.tiny.album FOLDER``.

Each image shows one of the things that align_tiny knows, in one of its colours, on a background.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from align_zoo.tiny.concepts import ALL_COLOURS, ALL_SHAPES, Meaning
from align_zoo.tiny.images import draw_image

__all__ = ["draw_album"]


def draw_album(folder: Path, count: int, *, seed: int = 0) -> None:
    """Draw so many images, named by their numbers, into a new or empty folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        meaning = Meaning(colour=str(rng.choice(ALL_COLOURS)), shape=str(rng.choice(ALL_SHAPES)))
        draw_image(meaning, rng).save(folder / f"{number:04}.png")


def main(
    folder: Annotated[Path, typer.Argument(help="Where the images go.")],
    count: Annotated[int, typer.Option(help="How many.")] = 300,
) -> None:
    """Draw an album."""
    draw_album(folder, count)


if __name__ == "__main__":
    typer.run(main)
