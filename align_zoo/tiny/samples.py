"""Writes the demo's sample images: ``python -m align_zoo.tiny.samples``.

Training never saw the content of a sample: a held-out combination of colour and shape, or a
handwritten digit of the held-out split. The file's name is the right answer.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from align_zoo.tiny.concepts import DIGIT_WORDS, Meaning
from align_zoo.tiny.digits import load_digits
from align_zoo.tiny.images import EVERYDAY, draw_image
from align_zoo.tiny.sampler import SAMPLES

EMBEDDED = Path(__file__).parents[1] / "assets" / "samples"
STYLE = replace(EVERYDAY, camera=False, side=(176, 216))
# The meaning of each sample, and the seed of its image, chosen by eye among a few for variety.
IMAGES = (
    (Meaning("red", "star"), 4),
    (Meaning("green", "ring"), 5),
    (Meaning("blue", "triangle"), 8),
    (Meaning("yellow", "cross"), 0),
    (Meaning("orange", "circle"), 5),
    (Meaning("purple", "square"), 3),
    (Meaning("blue", digit=0, size="big"), 7),
    (Meaning("white", digit=2, size="big"), 7),
    (Meaning("red", digit=3, size="big"), 5),
    (Meaning("black", digit=5, size="big"), 6),
    (Meaning("white", digit=6, size="big"), 8),
)
DISTRACTORS = (
    "a red circle",
    "a blue star",
    "a green triangle",
    "a yellow square",
    "an orange ring",
    "a purple cross",
    "the digit one",
    "the digit eight",
    "the digit nine",
    "a photo of a dog",
)


def file_name(meaning: Meaning) -> str:
    """Return the name of a sample's file, e.g. ``red-star.png`` or ``digit-3.png``."""
    if meaning.digit is not None:
        return f"digit-{meaning.digit}.png"
    return f"{meaning.colour}-{meaning.shape}.png"


def sample_meanings() -> dict[str, Meaning]:
    """Return the meaning of each sample, by the file's name."""
    return {file_name(meaning): meaning for meaning, _ in IMAGES}


def right_label(meaning: Meaning) -> str:
    """Return the label of labels.txt that is true of a sample."""
    if meaning.digit is not None:
        return f"the digit {DIGIT_WORDS[meaning.digit]}"
    article = "an" if meaning.colour == "orange" else "a"
    return f"{article} {meaning.colour} {meaning.shape}"


def draw_sample(meaning: Meaning, seed: int) -> Image.Image:
    """Draw a sample image, the same for the same seed."""
    rng = np.random.default_rng([seed, SAMPLES, *file_name(meaning).encode()])
    if meaning.digit is None:
        return draw_image(meaning, rng, style=STYLE)
    digits = load_digits("held_out")
    which = int(rng.choice(np.flatnonzero(digits.labels == meaning.digit)))
    return draw_image(meaning, rng, digits.ink[which], STYLE)


def main(
    out: Annotated[Path, typer.Option(help="The folder to write.")] = EMBEDDED,
) -> None:
    """Write the sample images and labels.txt."""
    out.mkdir(parents=True, exist_ok=True)
    for meaning, seed in IMAGES:
        draw_sample(meaning, seed).save(out / file_name(meaning), optimize=True)
    labels = [*(right_label(meaning) for meaning, _ in IMAGES), *DISTRACTORS]
    (out / "labels.txt").write_text("\n".join(sorted(labels)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
