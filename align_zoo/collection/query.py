"""A search in one line: words, image files, sums, differences and weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from align_zoo.collection.embedder import Embedder
from align_zoo.errors import InvalidImage, InvalidInput
from align_zoo.inputs.image_files import SUFFIXES

__all__ = ["Term", "embed_terms", "read_query", "weighted_sum"]

_WEIGHT = re.compile(r"(\d+(?:\.\d+)?|\.\d+):(?=\S)")
_SIGNS = {"+": 1.0, "-": -1.0}


class Term(NamedTuple):
    """A part of a search with its weight, which is negative for what is not wanted."""

    text: str
    weight: float = 1.0
    content: str | bytes | np.ndarray | None = None
    """What the term is whatever its text looks like: a text, an encoded image, or the unit row [D]
    of an image; None if the text says so.
    """

    @property
    def is_image(self) -> bool:
        """Whether the term is an image.

        Without a content: whether it is a path, which begins with a folder or has an image's
        ending.
        """
        if self.content is not None:
            return not isinstance(self.content, str)
        ends = Path(self.text).suffix.lower() in SUFFIXES
        return self.text.startswith(("./", "../", "/", "~/")) or ends


def read_query(words: str | Sequence[str] | Sequence[Term]) -> list[Term]:
    """Read a search: terms between ``+`` and ``-`` that stand alone, each with a weight if wanted.

    Terms that were read before stay as they are.

    >>> read_query("beach + 0.5:./dog.jpg - people")
    [Term('beach', 1.0), Term('./dog.jpg', 0.5), Term('people', -1.0)]

    Raises:
        InvalidInput: there is no term, a term is empty, or nothing is wanted.
    """
    terms = [word for word in words if isinstance(word, Term)]
    others = [word for word in words if not isinstance(word, Term)]
    parts = words.split() if isinstance(words, str) else [w for word in others for w in _cut(word)]
    sign, text = "", list[str]()
    for part in [*parts, ""]:
        if part and part not in _SIGNS:
            text.append(part)
            continue
        if text:
            terms.append(_term(" ".join(text), _SIGNS.get(sign, 1.0)))
        elif sign:
            raise InvalidInput(f"the search {' '.join(parts)!r} has a {sign} without a term")
        sign, text = part, []
    if not any(term.weight > 0 for term in terms):
        raise InvalidInput("a search needs at least one term that is wanted")
    return terms


def _cut(argument: str) -> list[str]:
    """Keep an argument that is a file's name whole, spaces and all."""
    return [argument] if Path(argument).is_file() else argument.split()


def _term(text: str, sign: float) -> Term:
    weight = _WEIGHT.match(text)
    if weight is None:
        return Term(text, sign)
    return Term(text[weight.end() :], sign * float(weight.group(1)))


def embed_terms(terms: Sequence[Term], embedder: Embedder) -> list[np.ndarray]:
    """Return each term's unit row [D].

    Raises:
        InvalidInput: an image cannot be read.
        InvalidText: a text cannot be embedded.
    """
    texts = [term.text for term in terms if not term.is_image]
    rows = iter(embedder.texts(texts) if texts else ())
    return [_embed_image(term, embedder) if term.is_image else next(rows) for term in terms]


def _embed_image(term: Term, embedder: Embedder) -> np.ndarray:
    if isinstance(term.content, np.ndarray):
        return term.content
    content = term.content
    if not isinstance(content, bytes):
        path = Path(term.text).expanduser()
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
    (answer,) = embedder.images([content])
    if isinstance(answer, InvalidImage):
        raise InvalidInput(f"{term.text}: {answer}")
    return answer


def weighted_sum(terms: Sequence[Term], rows: Sequence[np.ndarray]) -> np.ndarray:
    """Return the unit row [D] of the sum of the terms' rows by their weights.

    Raises:
        InvalidInput: the terms cancel each other.
    """
    pairs = zip(terms, rows, strict=True)
    total = np.sum([term.weight * row.astype(np.float64) for term, row in pairs], axis=0)
    length = float(np.linalg.norm(total))
    if length < 1e-6:
        raise InvalidInput("the terms of the search cancel each other")
    return (total / length).astype(np.float32)
