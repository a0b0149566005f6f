"""Images of align_tiny's concepts, the collections made of them, and the texts that name them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from align_zoo.collection.embedder import EncoderEmbedder
from align_zoo.collection.matching import Background
from align_zoo.runtime.load import load_encoder
from align_zoo.tiny.concepts import ALL_COLOURS, ALL_SHAPES, DIGIT_WORDS, SIZES, Meaning
from align_zoo.tiny.digits import load_digits
from align_zoo.tiny.images import draw_image

__all__ = ["World", "combination", "searched_texts"]

_TEMPLATES = ("{}", "a {}", "a photo of a {}", "this is a {}", "the {} here")
_COLOUR_TEMPLATES = ("{}", "something {}", "a {} thing")
_DIGIT_TEMPLATES = ("{}", "the digit {}", "the number {}", "a handwritten {}")


class World:
    """Images drawn from a seed, with their embeddings.

    Args:
        embedder: align_tiny.
        seed: another one draws other images.
        each: images of a combination of colour and shape, or colour and digit.
    """

    def __init__(self, embedder: EncoderEmbedder, seed: int, each: int) -> None:
        self.embedder, self.seed = embedder, seed
        self.meanings: list[Meaning] = []
        digits = load_digits("held_out")
        encoder, parts, waiting = load_encoder("align_tiny"), [], []
        for index, meaning in enumerate(_combinations(each)):
            chance = np.random.default_rng([seed, 77, index])
            ink = None
            if meaning.digit is not None:
                ink = digits.ink[chance.choice(np.flatnonzero(digits.labels == meaning.digit))]
            waiting.append(draw_image(meaning, chance, ink))
            self.meanings.append(meaning)
            if len(waiting) == 128:
                parts.append(encoder.embed_images(waiting))
                waiting = []
        if waiting:
            parts.append(encoder.embed_images(waiting))
        self.images = np.concatenate(parts)
        self.background = Background(embedder)

    @cached_property
    def others(self) -> np.ndarray:
        """The images' cosines with the background texts, [N, B]."""
        return self.images @ self.background.texts.T

    def collection(self, chance: np.random.Generator) -> np.ndarray:
        """Choose images: of one concept, or of some combinations in unequal numbers."""
        chosen: list[int] = []
        if chance.random() < 0.25:
            concept = _concepts()[chance.integers(len(_concepts()))]
            groups = [[i for i, shown in enumerate(self.meanings) if concept.holds_for(shown)]]
        else:
            keys = [combination(m) for m in self.meanings]
            count = int(chance.choice([1, 2, 3, 5, 10, 20, 40]))
            different = sorted(set(keys), key=str)
            picked = [different[i] for i in chance.choice(len(different), count, replace=False)]
            groups = [[i for i, key in enumerate(keys) if key == other] for other in picked]
        for group in groups:
            number = int(np.exp(chance.uniform(0, np.log(len(group) + 1))))
            chosen += chance.choice(group, number, replace=False).tolist()
        return np.array(chosen)


def _combinations(each: int) -> Iterable[Meaning]:
    for colour in ALL_COLOURS:
        for shape in ALL_SHAPES:
            for i in range(each):
                yield Meaning(colour, shape=shape, size=(None, *SIZES)[i % 3])
        for digit in range(10):
            for i in range(each // 2):
                yield Meaning(colour, digit=digit, size=(None, "big")[i % 2])


def _concepts() -> list[Meaning]:
    colours = [Meaning(colour) for colour in ALL_COLOURS]
    shapes = [Meaning(shape=shape) for shape in ALL_SHAPES]
    return [*colours, *shapes, *(Meaning(digit=digit) for digit in range(10))]


def searched_texts() -> dict[str, Meaning]:
    """Return searches by words, with what they ask for, in several phrasings."""
    texts: dict[str, Meaning] = {}
    for colour in ALL_COLOURS:
        texts |= {form.format(colour): Meaning(colour) for form in _COLOUR_TEMPLATES}
    for shape in ALL_SHAPES:
        texts |= {form.format(shape): Meaning(shape=shape) for form in _TEMPLATES}
    for i, colour in enumerate(ALL_COLOURS):
        for j, shape in enumerate(ALL_SHAPES):
            form = _TEMPLATES[(3 * i + j) % len(_TEMPLATES)]
            texts[form.format(f"{colour} {shape}")] = Meaning(colour, shape=shape)
    for digit, word in enumerate(DIGIT_WORDS):
        texts |= {form.format(word): Meaning(digit=digit) for form in _DIGIT_TEMPLATES}
        texts |= {f"a {c} {word}": Meaning(c, digit=digit) for c in ALL_COLOURS[digit % 3 :: 3]}
    return texts


def combination(meaning: Meaning) -> tuple[str | None, str | None, int | None]:
    """Return the combination that a meaning shows: its colour, shape and digit."""
    return meaning.colour, meaning.shape, meaning.digit
