"""Measures a checkpoint's zero-shot accuracy on freshly drawn images.

``python -m align_zoo.tiny.evaluate`` prints the table of docs/align-tiny.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import AlignModel, AutoTokenizer, EfficientNetImageProcessorPil

from align_zoo.tiny.concepts import (
    ALL_COLOURS,
    COLOURS,
    DIGIT_WORDS,
    HELD_OUT,
    SHAPES,
    SIZES,
    Meaning,
)
from align_zoo.tiny.digits import load_digits
from align_zoo.tiny.images import draw_image
from align_zoo.tiny.sampler import EVALUATION

EMBEDDED = Path(__file__).parents[1] / "assets" / "align_tiny"
SHAPE_TEMPLATES = (
    "a {colour} {shape}",
    "a photo of a {colour} {shape}",
    "{colour} {shape}",
    "my favourite picture: a {shape} that is {colour}",
)
DIGIT_TEMPLATES = (
    "the digit {word}",
    "handwritten {digit}",
    "a photo of the number {word}",
    "somebody wrote a {digit}",
)


Labels = dict[str, Meaning]


@dataclass(frozen=True)
class Example:
    """An image and its meaning."""

    image: Image.Image
    meaning: Meaning


@dataclass(frozen=True)
class Row:
    """The accuracy of a group of images against a list of labels."""

    group: str
    images: int
    labels: int
    prompt: str
    accuracy: float

    @classmethod
    def measure(
        cls,
        checkpoint: Checkpoint,
        group: str,
        examples: Sequence[Example],
        prompt: str,
        labels: Labels,
    ) -> Row:
        """Classify the images, and make a row of the result."""
        share = accuracy(checkpoint, examples, labels)
        return cls(group, len(examples), len(labels), prompt, share)


class Checkpoint:
    """Both towers, the image processor and the tokenizer of an ALIGN folder."""

    def __init__(
        self, model: AlignModel, processor: EfficientNetImageProcessorPil, tokenizer: Callable
    ) -> None:
        self.model, self.processor, self.tokenizer = model.eval(), processor, tokenizer

    @classmethod
    def load(cls, folder: Path) -> Checkpoint:
        """Open a folder in the Hugging Face format."""
        return cls(
            AlignModel.from_pretrained(folder),
            EfficientNetImageProcessorPil.from_pretrained(folder),
            AutoTokenizer.from_pretrained(folder),
        )

    @torch.inference_mode()
    def embed_images(self, images: Sequence[Image.Image]) -> Tensor:
        """Compute unit rows, ``[N, D]``."""
        rows = []
        for start in range(0, len(images), 128):
            pixels = self.processor(list(images[start : start + 128]), return_tensors="pt")
            rows.append(self.model.get_image_features(**pixels).pooler_output)
        return F.normalize(torch.cat(rows), dim=1)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Compute unit rows, ``[N, D]``."""
        tokens = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        return F.normalize(self.model.get_text_features(**tokens).pooler_output, dim=1)

    def probabilities(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Tensor:
        """Compute ``softmax(cosine / temperature)`` over the texts, ``[images, texts]``."""
        cosine = self.embed_images(images) @ self.embed_texts(texts).T
        return (cosine / self.model.temperature.detach()).softmax(dim=1)


def shape_examples(pairs: Sequence[tuple[str, str]], each: int, seed: int) -> list[Example]:
    """Draw fresh images of colour and shape combinations, ``each`` of every pair."""
    examples = []
    for index, (colour, shape) in enumerate(list(pairs) * each):
        rng = np.random.default_rng([seed, EVALUATION, index])
        size = (None, *SIZES)[int(rng.integers(3))]
        meaning = Meaning(colour, shape=shape, size=size)
        examples.append(Example(draw_image(meaning, rng), meaning))
    return examples


def digit_examples(each: int, seed: int) -> list[Example]:
    """Draw fresh images of the held-out handwritten digits, ``each`` of every digit."""
    digits = load_digits("held_out")
    examples = []
    for index in range(len(digits.labels) * each):
        rng = np.random.default_rng([seed, EVALUATION, 1, index])
        which = index % len(digits.labels)
        colour = ALL_COLOURS[int(rng.integers(len(ALL_COLOURS)))]
        size = (None, "big")[int(rng.integers(2))]
        meaning = Meaning(colour, digit=int(digits.labels[which]), size=size)
        examples.append(Example(draw_image(meaning, rng, digits.ink[which]), meaning))
    return examples


def shape_labels(pairs: Sequence[tuple[str, str]], template: str = SHAPE_TEMPLATES[0]) -> Labels:
    """Write a caption for each combination."""
    return {
        template.format(colour=colour, shape=shape): Meaning(colour, shape=shape)
        for colour, shape in pairs
    }


def digit_labels(template: str = DIGIT_TEMPLATES[0]) -> Labels:
    """Write a caption for each digit."""
    return {
        template.format(word=word, digit=digit): Meaning(digit=digit)
        for digit, word in enumerate(DIGIT_WORDS)
    }


def accuracy(checkpoint: Checkpoint, examples: Sequence[Example], labels: Labels) -> float:
    """Compute the share of images whose most probable label is true, 0 to 1."""
    shares = checkpoint.probabilities([example.image for example in examples], list(labels))
    meanings = list(labels.values())
    best = shares.argmax(dim=1).tolist()
    right = [
        meanings[index].holds_for(example.meaning)
        for index, example in zip(best, examples, strict=True)
    ]
    return sum(right) / len(right)


def report(checkpoint: Checkpoint, seed: int = 0, each: int = 100) -> list[Row]:
    """Measure the accuracy of each group of images against each list of labels.

    Args:
        checkpoint: The checkpoint to measure.
        seed: Another seed draws other images.
        each: Images of each held-out combination; the other groups are of about that size.
    """
    core = list(product(COLOURS, SHAPES))
    known = [pair for pair in core if pair not in HELD_OUT]
    held_out = shape_examples(HELD_OUT, each, seed)
    held_in = shape_examples(known, max(1, each // 5), seed + 1)
    digits = digit_examples(max(1, each // 50), seed)
    rows = []
    for template in SHAPE_TEMPLATES:
        labels = shape_labels(core, template)
        rows.append(Row.measure(checkpoint, "held-out combinations", held_out, template, labels))
    rows.append(
        Row.measure(
            checkpoint, "other combinations", held_in, SHAPE_TEMPLATES[0], shape_labels(core)
        )
    )
    for template in DIGIT_TEMPLATES:
        labels = digit_labels(template)
        rows.append(Row.measure(checkpoint, "held-out digits", digits, template, labels))
    mixed = shape_labels(core) | digit_labels()
    for name, examples in (("held-out combinations", held_out), ("held-out digits", digits)):
        rows.append(Row.measure(checkpoint, name, examples, "both lists together", mixed))
    return rows


def main(
    folder: Annotated[Path, typer.Argument(help="An ALIGN folder.")] = EMBEDDED,
    seed: Annotated[int, typer.Option(help="Draws the images.")] = 1,
    each: Annotated[int, typer.Option(help="Images of each held-out combination.")] = 100,
) -> None:
    """Print a checkpoint's zero-shot accuracy as a Markdown table."""
    print("| fresh images | count | labels | prompt | accuracy |")
    print("|---|---:|---:|---|---:|")
    for row in report(Checkpoint.load(folder), seed, each):
        print(f"| {row.group} | {row.images} | {row.labels} | {row.prompt} | {row.accuracy:.1%} |")


if __name__ == "__main__":
    typer.run(main)
