"""Texts about concepts: names in many wordings, keywords alone and in pairs, groups."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from align_zoo.emoji.concepts import Concept
from align_zoo.tiny.vocabulary import COMMON

__all__ = [
    "NEW_WORDINGS",
    "WORDINGS",
    "Attributes",
    "Fillers",
    "write",
    "write_names",
    "write_nothing",
]

WORDINGS = (
    "{a}",
    "{the}",
    "{} emoji",
    "{} icon",
    "{} symbol",
    "the {} emoji",
    "an emoji of {a}",
    "an icon of {a}",
    "a picture of {a}",
    "a photo of {a}",
    "an image of {the}",
    "a cartoon of {a}",
    "a small {}",
    "clip art of {a}",
    "a sticker with {a}",
    "emoji: {}",
    "it is {a}",
    "here you see {a}",
    "i want {a}",
    "something like {a}",
)
"""Wordings of a name or a keyword in training, beside the name alone."""

NEW_WORDINGS = (
    "a drawing of {a}",
    "this emoji shows {a}",
    "graphic depicting {}",
    "find me {the}",
)
"""Wordings for the evaluation; no training has them."""

_PLAIN, _WORDED = 0.35, 0.25  # shares of the texts; the others stand between any words
_LINKED = 0.5  # share of these that have one of the links before the name
_LINKS = ("a", "the", "of", "of a", "of the", "with a")


def write(wording: str, what: str) -> str:
    """Put a name into a wording; ``{a}`` has an indefinite article, ``{the}`` a definite one."""
    article = "an" if what[:1] in "aeiou" else "a"
    return wording.format(what, a=f"{article} {what}", the=f"the {what}")


@dataclass(frozen=True)
class Fillers:
    """Words that say nothing of the concepts, and are in no wording held out.

    Attributes:
        common: common English words.
        known: words of captions, of which others are invented.
        said: all words of captions and of the wordings held out: no filler is one of these.
    """

    common: list[str]
    known: list[str]
    said: frozenset[str]

    @classmethod
    def of(cls, concepts: Sequence[Concept]) -> Fillers:
        """Collect the words of concepts."""
        captions = {
            word
            for each in concepts
            for text in (each.name, *each.keywords, each.group, each.subgroup)
            for word in text.split()
        }
        said = frozenset(captions.union(re.findall("[a-z]+", " ".join(NEW_WORDINGS))))
        common = [word for word in dict.fromkeys(COMMON) if word not in said]
        known = sorted(word for word in captions if word.isalpha() and len(word) > 4)
        return cls(common, known, said)

    def choose(self, rng: np.random.Generator, count: int) -> list[str]:
        """Choose words by chance: half are common, the others are invented each time."""
        return [
            self._invent(rng) if rng.random() < 0.5 else self._common(rng) for _ in range(count)
        ]

    def _common(self, rng: np.random.Generator) -> str:
        return self.common[int(rng.integers(len(self.common)))]

    def _invent(self, rng: np.random.Generator) -> str:
        """Join the beginning of a caption's word with the end of another: pieces say nothing.

        The beginning may be a whole word: a "graphic" is no "graph".
        """
        begin, end = (self.known[int(each)] for each in rng.integers(len(self.known), size=2))
        word = begin[: int(rng.integers(2, 8))] + end[-int(rng.integers(2, 4)) :]
        return self._common(rng) if word in self.said else word


def write_names(names: Sequence[str], fillers: Fillers, rng: np.random.Generator) -> list[str]:
    """Write each name alone, in one of the wordings of training, or between any words.

    The words between which a name stands teach that what is unknown does not matter.
    """
    texts = []
    for name, kind in zip(names, rng.random(len(names)), strict=True):
        if kind < _PLAIN:
            texts.append(name)
        elif kind < _PLAIN + _WORDED:
            texts.append(write(WORDINGS[rng.integers(len(WORDINGS))], name))
        else:
            words = fillers.choose(rng, int(rng.integers(1, 5)))
            place = len(words) if rng.random() < 0.6 else int(rng.integers(len(words) + 1))
            link = [str(rng.choice(_LINKS))] if rng.random() < _LINKED else []
            texts.append(" ".join([*words[:place], *link, name, *words[place:]]))
    return texts


def write_nothing(count: int, fillers: Fillers, rng: np.random.Generator) -> list[str]:
    """Write texts that say nothing: these are true of images without an emoji."""
    return [" ".join(fillers.choose(rng, int(rng.integers(1, 5)))) for _ in range(count)]


@dataclass(frozen=True)
class Attributes:
    """What is said of several concepts: keywords, words of names, groups and subgroups.

    Attributes:
        texts: each attribute's text.
        has: whether a concept has the attribute, ``[texts, concepts]``.
    """

    texts: list[str]
    has: NDArray[np.bool_]

    @classmethod
    def of(cls, concepts: Sequence[Concept]) -> Attributes:
        """Collect the attributes of concepts."""
        holders: dict[str, set[int]] = {}
        for index, each in enumerate(concepts):
            for text in {*each.keywords, *each.name.split(), each.group, each.subgroup}:
                holders.setdefault(text, set()).add(index)
        has = np.zeros((len(holders), len(concepts)), bool)
        for row, indices in zip(has, holders.values(), strict=True):
            row[list(indices)] = True
        return cls(list(holders), has)

    def sample(
        self,
        count: int,
        shown: NDArray[np.int64],
        fillers: Fillers,
        rng: np.random.Generator,
    ) -> tuple[list[str], NDArray[np.bool_]]:
        """Write texts of one attribute or two, each true of a concept that is shown.

        Args:
            count: how many texts.
            shown: the concepts of the step's images.
            fillers: words that say nothing.
            rng: chooses the attributes and the wordings.

        Returns:
            The texts, and which concept they are true of, ``[count, concepts]``.
        """
        texts, fits = [], np.empty((count, self.has.shape[1]), bool)
        subjects = rng.choice(shown, count)
        pairs = rng.random(count) < 0.35
        for row, subject, pair in zip(fits, subjects, pairs, strict=True):
            own = np.flatnonzero(self.has[:, subject])
            chosen = rng.choice(own, min(len(own), 1 + int(pair)), replace=False)
            row[:] = self.has[chosen].all(axis=0)
            texts.append(" ".join(self.texts[each] for each in chosen))
        return write_names(texts, fillers, rng), fits
