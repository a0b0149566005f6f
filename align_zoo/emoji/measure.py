"""Measures what a checkpoint knows of drawings: names, concepts, keywords, groups."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from align_zoo.collection.embedder import EncoderEmbedder
from align_zoo.collection.matching import Background
from align_zoo.emoji.captions import NEW_WORDINGS, write
from align_zoo.emoji.concepts import Concept
from align_zoo.emoji.drawings import Drawings
from align_zoo.emoji.packages import HELD_OUT_STYLE, STYLES

GALLERY = "noto"
"""The style in which the same concept is looked for."""
FIRST = 10
"""Images of a search in which a keyword's image has to be."""

Rows = NDArray[np.int64]
Figures = dict[str, float | None]


@dataclass(frozen=True)
class Embedded:
    """All drawings and all names, embedded by a checkpoint.

    Attributes:
        drawings: the drawings.
        embedder: the checkpoint.
        images: the drawings' unit rows, in front of white, [N, D].
    """

    drawings: Drawings
    embedder: EncoderEmbedder
    images: NDArray[np.float32]

    @classmethod
    def of(cls, drawings: Drawings, embedder: EncoderEmbedder) -> Embedded:
        """Embed all drawings."""
        files = [as_png(pixels) for pixels in drawings.on_white(np.arange(len(drawings.style)))]
        rows = [row for row in embedder.images(files) if isinstance(row, np.ndarray)]
        return cls(drawings, embedder, np.stack(rows))

    @cached_property
    def names(self) -> NDArray[np.float32]:
        """The unit rows of all concepts' names, [concepts, D]."""
        return self.embedder.texts([each.name for each in self.drawings.concepts])

    def find_names(self, rows: Rows, texts: NDArray[np.float32]) -> tuple[float, float]:
        """Return how often the right text is first, and how often among the first five."""
        cosine = self.images[rows] @ texts.T
        own = cosine[np.arange(len(rows)), self.drawings.concept[rows]]
        better = (cosine > own[:, None]).sum(axis=1)
        return float((better < 1).mean()), float((better < 5).mean())

    def find_same(self, rows: Rows) -> tuple[float | None, int]:
        """Return how often the nearest image of the gallery is the same concept, and of how many.

        The gallery's own images, and concepts that it does not have, are left out.
        """
        concept = self.drawings.concept
        held_in, held_out = (
            self.drawings.rows([GALLERY], held_out=which) for which in (False, True)
        )
        gallery = np.concatenate([held_in, held_out])
        others = rows[~np.isin(rows, gallery)]
        asked = others[np.isin(concept[others], concept[gallery])]
        if not len(asked):
            return None, 0
        nearest = gallery[(self.images[asked] @ self.images[gallery].T).argmax(axis=1)]
        return float((concept[nearest] == concept[asked]).mean()), len(asked)

    def find_keywords(self, rows: Rows) -> tuple[float, int]:
        """Return for how many keywords an image that has it is in the first ten, and of how many.

        An image counts for a keyword that shares no word with its name.
        """
        concepts = self.drawings.concepts
        having: dict[str, set[int]] = {}
        for place, row in enumerate(rows):
            concept = concepts[self.drawings.concept[row]]
            for keyword in beyond_the_name(concept):
                having.setdefault(keyword, set()).add(place)
        cosine = self.embedder.texts(list(having)) @ self.images[rows].T
        first = np.argsort(-cosine, axis=1)[:, :FIRST]
        right = [
            bool(places.intersection(found))
            for places, found in zip(having.values(), first.tolist(), strict=True)
        ]
        return sum(right) / len(right), len(right)

    def confuse_groups(self, rows: Rows) -> tuple[torch.Tensor, list[str]]:
        """Classify drawings by the groups: counts [true, found], and the groups' names."""
        groups = sorted({each.group for each in self.drawings.concepts})
        found = (self.images[rows] @ self.embedder.texts(groups).T).argmax(axis=1)
        counts = torch.zeros(len(groups), len(groups), dtype=torch.long)
        for row, column in zip(rows, found, strict=True):
            counts[groups.index(self._concept(row).group), int(column)] += 1
        return counts, groups

    def worst_mistakes(self, rows: Rows, count: int) -> list[tuple[int, Concept]]:
        """Return the drawings whose wrong name is farthest above the right one, with the wrong."""
        cosine = self.images[rows] @ self.names.T
        own = cosine[np.arange(len(rows)), self.drawings.concept[rows]]
        worst = np.argsort(own - cosine.max(axis=1))[:count]
        return [
            (int(rows[each]), self.drawings.concepts[int(cosine[each].argmax())]) for each in worst
        ]

    def _concept(self, row: int) -> Concept:
        return self.drawings.concepts[self.drawings.concept[row]]


def beyond_the_name(concept: Concept) -> list[str]:
    """Return the keywords of a concept that share no word with its name."""
    name = set(concept.name.replace("-", " ").split())
    return [each for each in concept.keywords if not name & set(each.replace("-", " ").split())]


def figures(embedded: Embedded, rows: Rows) -> Figures:
    """Measure all figures of some drawings, 0 to 1; None where nothing is asked."""
    first, five = embedded.find_names(rows, embedded.names)
    counts, _ = embedded.confuse_groups(rows)
    return {
        "name among all names, first": first,
        "name among all names, in five": five,
        f"same concept in {GALLERY}": embedded.find_same(rows)[0],
        f"a keyword's image in the first {FIRST}": embedded.find_keywords(rows)[0],
        "group": int(counts.trace()) / int(counts.sum()),
    }


def report(embedded: Embedded) -> dict[str, Figures]:
    """Measure the style never seen, each style seen, and the concepts never seen."""
    drawings = embedded.drawings
    found = {style: figures(embedded, drawings.rows([style])) for style in reversed(STYLES)}
    held_out = drawings.rows(STYLES, held_out=True)
    found["concepts never seen, all styles"] = figures(embedded, held_out)
    return found


def wordings(embedded: Embedded) -> dict[str, tuple[float, float]]:
    """Find the names of the style never seen in wordings that no training had."""
    rows = embedded.drawings.rows([HELD_OUT_STYLE])
    found = {}
    for wording in ("{}", *NEW_WORDINGS):
        texts = [write(wording, each.name) for each in embedded.drawings.concepts]
        found[wording] = embedded.find_names(rows, embedded.embedder.texts(texts))
    return found


def nothing_matches(embedded: Embedded) -> dict[str, float]:
    """Measure which share of all names matches an image that shows none, by ``Background``."""
    background = Background(embedded.embedder)
    answers = embedded.embedder.images([as_png(pixels) for pixels in others().values()])
    images = np.stack([row for row in answers if isinstance(row, np.ndarray)])
    matches = np.stack([background.text_matches(row, images, 1) for row in embedded.names])
    found = dict(zip(others(), matches.mean(axis=0).tolist(), strict=True))
    rows = embedded.drawings.rows([HELD_OUT_STYLE])
    own = [
        bool(background.text_matches(embedded.names[concept], embedded.images[[row]], 1)[0])
        for row, concept in zip(rows, embedded.drawings.concept[rows], strict=True)
    ]
    found["the right name of a drawing in the style never seen"] = sum(own) / len(own)
    return found


def others() -> dict[str, NDArray[np.uint8]]:
    """Return images that show no emoji: two photographs, blanks, a page of text."""
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images()
    names = [Path(each).stem for each in photographs.filenames]
    pixels = dict(zip([f"photograph: {name}" for name in names], photographs.images, strict=True))
    for shade in (0, 128, 255):
        pixels[f"blank: {shade}"] = np.full((200, 200, 3), shade, np.uint8)
    page = Image.new("RGB", (400, 300), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    lines = (Path(__file__).parents[1] / "assets" / "background_texts.txt").read_text("utf-8")
    draw.multiline_text((10, 10), lines[:900], "black", font)
    pixels["a page of text"] = np.asarray(page)
    return pixels


def as_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode pixels [H, W, 3]."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()
