"""Draw the README's figure: ``python -m align_zoo.tiny.readme_figure OUT.png``.

The columns are shipped samples, the rows are labels. Each field has the probability that align_tiny
gives the label for the image. Training had no such combination.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib.figure import Figure
from PIL import Image

from align_zoo.runtime.load import load_encoder
from align_zoo.tiny.samples import EMBEDDED

IMAGES = ("red-star", "green-ring", "blue-triangle", "purple-square", "digit-3", "digit-5")
LABELS = (
    "a red star",
    "a green ring",
    "a blue triangle",
    "a purple square",
    "the digit three",
    "the digit five",
    "a red circle",
    "a green star",
)


def probabilities() -> np.ndarray:
    """Return [labels, images]: the softmax over the labels, for each image."""
    encoder = load_encoder("align_tiny")
    images = encoder.embed_images([EMBEDDED / f"{name}.png" for name in IMAGES])
    logits = encoder.embed_texts(list(LABELS)) @ images.T / encoder.temperature
    exponents = np.exp(logits - logits.max(axis=0))
    return exponents / exponents.sum(axis=0)


def draw(out: Path) -> None:
    """Write the figure as a PNG."""
    table = probabilities()
    rows, columns = table.shape
    figure = Figure(figsize=(8.2, 4.6), dpi=140)
    left, top, width = 0.2, 0.74, 0.78
    axes = figure.add_axes((left, 0.03, width, top - 0.05))
    axes.imshow(np.sqrt(table), cmap="Purples", vmin=0, vmax=1.15, aspect="auto")
    axes.set_xticks([])
    axes.set_yticks(range(rows), LABELS, fontsize=11)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    for row in range(rows):
        for column in range(columns):
            share = table[row, column]
            axes.text(
                column,
                row,
                f"{share:.0%}" if share >= 0.005 else "·",
                ha="center",
                va="center",
                fontsize=10.5,
                color="white" if share > 0.4 else "#777777",
            )
    cell = width / columns
    for column, name in enumerate(IMAGES):
        shown = figure.add_axes((left + cell * (column + 0.1), top, cell * 0.8, 0.24))
        with Image.open(EMBEDDED / f"{name}.png") as image:
            shown.imshow(image.convert("RGB").resize((200, 200)))
        shown.axis("off")
    figure.savefig(out)


def main(out: Annotated[Path, typer.Argument(help="The PNG to write.")]) -> None:
    """Draw the table of images and labels."""
    draw(out)


if __name__ == "__main__":
    typer.run(main)
