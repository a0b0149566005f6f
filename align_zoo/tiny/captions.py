"""Writes captions of an image: in many wordings, often about a part of the image's meaning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from align_zoo.tiny.concepts import DIGIT_WORDS, Meaning

_PREFIXES = (
    "",
    "a photo of ",
    "a picture of ",
    "a picture of ",
    "a drawing of ",
    "a painting of ",
    "a rendering of ",
    "a close up of ",
    "a photo showing ",
    "a sketch of ",
    "this is ",
    "there is ",
    "it is ",
    "we see ",
    "look at ",
    "here is ",
)
_SUFFIXES = ("", "", "", "", ".", " in the picture", " on a background", " here")
_DETERMINERS = ("a", "a", "a", "the", "the", "my", "this", "")
_FILLERS = (
    "",
    "",
    "",
    "",
    "",
    "nice",
    "simple",
    "plain",
    "pretty",
    "single",
    "coloured",
    "colored",
)
_SIZE_WORDS = {"small": ("small", "little", "tiny"), "big": ("big", "large", "huge")}
_SHAPE_WORDS = {
    "circle": ("circle", "circle", "circle", "disc"),
    "square": ("square",),
    "triangle": ("triangle",),
    "star": ("star",),
    "cross": ("cross", "cross", "cross", "plus sign"),
    "ring": ("ring",),
    "heart": ("heart",),
    "moon": ("moon", "moon", "crescent"),
}
_ANYTHING = ("shape", "thing", "object", "figure")
_DIGIT_NOUNS = ("digit", "digit", "number", "figure", "numeral")
_HAND = ("handwritten", "hand written", "written")

# Things that are never drawn: in training their captions are wrong for every image.
_UNRELATED = tuple(
    "dog cat horse bird fish tree house car boat train plane flower apple man woman child face "
    "book table chair cup bottle clock phone computer street city mountain river beach forest "
    "garden kitchen room door window shoe hat shirt ball bike bus truck road bridge sky cloud "
    "sun snow food bread cake pizza cheese banana cow sheep elephant lion tiger bear duck "
    "rabbit mouse frog snake butterfly spider guitar piano lamp bed sofa knife spoon".split()
)


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _forget(image: Meaning, rng: np.random.Generator) -> Meaning:
    """Leave out a part of the meaning: 'something red' and 'a ring' are captions too."""
    stated = image
    if rng.random() < 0.6:
        stated = replace(stated, size=None)
    fate = rng.random()
    if image.digit is not None:
        return replace(stated, colour=None) if fate < 0.6 else stated
    if fate < 0.25:
        return replace(stated, colour=None)
    if fate < 0.5:
        return replace(stated, shape=None)
    return stated


def _noun(stated: Meaning, rng: np.random.Generator) -> str:
    if stated.shape is not None:
        noun = _pick(rng, _SHAPE_WORDS[stated.shape])
        return noun + " shape" if rng.random() < 0.05 else noun
    if stated.digit is None:
        return _pick(rng, _ANYTHING)
    name = str(stated.digit) if rng.random() < 0.4 else DIGIT_WORDS[stated.digit]
    kind = rng.random()
    if kind < 0.45:
        return f"{_pick(rng, _DIGIT_NOUNS)} {name}"
    if kind < 0.65:
        return f"{_pick(rng, _HAND)} {name}"
    if kind < 0.75:
        return f"{_pick(rng, _HAND)} {_pick(rng, _DIGIT_NOUNS)} {name}"
    return name


def _phrase(stated: Meaning, rng: np.random.Generator) -> str:
    """Write a noun phrase without prefix and suffix, e.g. 'the big red circle'."""
    size = "" if stated.size is None else _pick(rng, _SIZE_WORDS[stated.size])
    colour = stated.colour or ""
    if stated.shape is None and stated.digit is None and colour and rng.random() < 0.4:
        return " ".join(filter(None, ("something", size, colour)))
    noun, filler = _noun(stated, rng), _pick(rng, _FILLERS)
    before, after = [size, filler, colour, noun], ""
    if colour and rng.random() < 0.2:
        before.remove(colour)
        after = _pick(rng, (f" in {colour}", f" that is {colour}", f" colored {colour}"))
    words = " ".join(filter(None, before))
    determiner = _pick(rng, _DETERMINERS)
    if determiner == "a" and words[0] in "aeiou" and not words.startswith("one"):
        determiner = "an"
    return f"{determiner} {words}{after}".strip()


def _name(stated: Meaning) -> str:
    """Return the plainest words for a meaning, e.g. 'red circle', 'red' or 'digit three'."""
    digit = "" if stated.digit is None else f"digit {DIGIT_WORDS[stated.digit]}"
    return " ".join(filter(None, (stated.colour, stated.shape, digit)))


def write_caption(
    image: Meaning, rng: np.random.Generator, plain: bool = False
) -> tuple[str, Meaning]:
    """Write a caption that is true of an image, and return its meaning, too.

    Args:
        image: The meaning of the image.
        rng: Chooses the wording.
        plain: Use as few words as possible, for the beginning of training.

    Returns:
        The caption, and its meaning: ``meaning.holds_for(image)`` is true.
    """
    stated = _forget(image, rng)
    if plain:
        stated = replace(stated, size=None)
        return _name(stated), stated
    phrase = _phrase(stated, rng)
    if rng.random() < 0.35:
        return phrase, stated
    return f"{_pick(rng, _PREFIXES)}{phrase}{_pick(rng, _SUFFIXES)}", stated


def write_unrelated(rng: np.random.Generator) -> str:
    """Write a caption that is true of no image, such as 'a photo of a dog'."""
    return f"{_pick(rng, _PREFIXES)}{_pick(rng, _DETERMINERS)} {_pick(rng, _UNRELATED)}".strip()
