"""Turns logits into ranked predictions."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence

import numpy as np

__all__ = ["Prediction", "ranked", "softmax"]


class Prediction(NamedTuple):
    """A label and its probability among the labels of the call.

    >>> label, score = client.classify("dog.jpg", ["a dog", "a cat"])[0]
    """

    label: str
    """The label as the caller gave it, without the template."""
    score: float
    """The probability, 0 to 1; the scores of all labels of a call sum to 1."""


def softmax(logits: np.ndarray) -> np.ndarray:
    """Compute the softmax over the last axis, in float64.

    Args:
        logits: [..., M], any numeric type.
    """
    logits = np.asarray(logits, dtype=np.float64)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def ranked(
    labels: Sequence[str], scores: np.ndarray, top_k: Optional[int] = None
) -> List[Prediction]:
    """Return at most ``top_k`` predictions, best first; equal scores keep the order of labels.

    Args:
        labels: M different strings.
        scores: the scores of the labels, [M].
        top_k: how many predictions to return; None for all.
    """
    order = np.argsort(-scores, kind="stable")[:top_k]
    best = map(labels.__getitem__, order.tolist())
    return list(map(Prediction, best, scores[order].tolist()))
