"""Writes the demo's sample pictures: ``python -m align_zoo.tiny.samples``.

Every one shows something that training never saw: a combination of colour and shape that was
held out, or a handwritten digit of the held-out split. The file's name is the right answer.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from align_zoo.tiny.concepts import DIGIT_WORDS, HELD_OUT, Meaning
from align_zoo.tiny.digits import load_digits
from align_zoo.tiny.pictures import EVERYDAY, draw_picture
from align_zoo.tiny.sampler import SAMPLES

EMBEDDED = Path(__file__).parents[1] / "assets" / "samples"
STYLE = replace(EVERYDAY, camera=False, side=(176, 216))
DIGITS = ((0, "blue"), (3, "red"), (5, "black"), (7, "white"))  # with the ink of each
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


def sample_meanings() -> dict[str, Meaning]:
    """What each sample file shows, by the file's name."""
    shapes = {f"{colour}-{shape}.png": Meaning(colour, shape=shape) for colour, shape in HELD_OUT}
    digits = {f"digit-{digit}.png": Meaning(colour, digit=digit) for digit, colour in DIGITS}
    return shapes | digits


def right_label(meaning: Meaning) -> str:
    """The label of labels.txt that is true of a sample."""
    if meaning.digit is not None:
        return f"the digit {DIGIT_WORDS[meaning.digit]}"
    article = "an" if meaning.colour == "orange" else "a"
    return f"{article} {meaning.colour} {meaning.shape}"


def draw_sample(index: int, meaning: Meaning, seed: int = 0) -> Image.Image:
    """One sample picture, the same for the same seed."""
    rng = np.random.default_rng([seed, SAMPLES, index])
    if meaning.digit is None:
        return draw_picture(meaning, rng, style=STYLE)
    digits = load_digits("held_out")
    which = int(rng.choice(np.flatnonzero(digits.labels == meaning.digit)))
    return draw_picture(replace(meaning, size="big"), rng, digits.ink[which], STYLE)


def main(
    out: Annotated[Path, typer.Option(help="The folder to write.")] = EMBEDDED,
    seed: Annotated[int, typer.Option(help="Decides everything random.")] = 0,
) -> None:
    """Write the sample pictures and labels.txt."""
    out.mkdir(parents=True, exist_ok=True)
    meanings = sample_meanings()
    for index, (name, meaning) in enumerate(meanings.items()):
        draw_sample(index, meaning, seed).save(out / name, optimize=True)
    labels = [*map(right_label, meanings.values()), *DISTRACTORS]
    (out / "labels.txt").write_text("\n".join(sorted(labels)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
