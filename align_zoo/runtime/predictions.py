"""Turns cosines into ranked predictions."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from align_zoo.errors import InvalidInput

__all__ = ["Prediction", "check_top_k", "ranked"]


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
