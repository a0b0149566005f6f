"""Turns cosines into ranked predictions."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from align_zoo.errors import InvalidInput

__all__ = ["Prediction", "check_top_k", "mean_rows", "ranked"]


class Prediction(NamedTuple):
    """A label and its probability among the labels of the call; as ``align_client`` has it.

    >>> encoder = align_zoo.load_encoder("align_tiny")
    >>> label, score = encoder.classify("red-star.png", ["a star", "a circle"])[0]
    >>> label
    'a star'
    """

    label: str
    """The label as the caller gave it, without the template."""
    score: float
    """The probability, 0 to 1; the scores of all labels of a call sum to 1."""


def check_top_k(top_k: int | None) -> int | None:
    """Check the number of predictions to return; None for all.

    Raises:
        InvalidInput: ``top_k`` is no whole number above 0.
    """
    if top_k is None:
        return None
    try:
        number = operator.index(top_k)
    except TypeError:
        number = 0
    if isinstance(top_k, bool) or number < 1:
        raise InvalidInput(f"top_k is {top_k!r}, not a whole number above 0")
    return number


def mean_rows(rows: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Average the rows of each label's prompts; a mean is again of length 1.

    >>> mean_rows(encoder.embed_texts(["a star", "a photo of a star", "a ring"]), [2, 1]).shape
    (2, 128)

    Args:
        rows: unit rows [P, D] of the prompts, those of a label together.
        counts: for each of C labels the number of its prompts, P in all.

    Returns:
        Unit rows [C, D] float32.
    """
    starts = np.cumsum([0, *counts[:-1]])
    sums = np.add.reduceat(rows.astype(np.float64), starts, axis=0)
    return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), dtype=np.float32)


def ranked(
    labels: Sequence[str],
    image: np.ndarray,
    texts: np.ndarray,
    temperature: float,
    top_k: int | None,
) -> list[Prediction]:
    """Rank predictions for one image, best first, equals in the order of ``labels``.

    Args:
        labels: M different strings.
        image: unit row [D].
        texts: unit rows [M, D].
        temperature: the learned scalar of ``logits = cosine / temperature``.
        top_k: how many; None for all.
    """
    # In float64: the scores of thousands of labels are to sum to 1.
    logits = texts.astype(np.float64) @ image.astype(np.float64) / temperature
    with np.errstate(under="ignore"):  # a label so far behind has a score of 0
        powers = np.exp(logits - logits.max())
        scores = powers / powers.sum()
    order = np.argsort(-scores, kind="stable")[:top_k].tolist()
    return [Prediction(labels[i], float(scores[i])) for i in order]
