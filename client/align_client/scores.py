"""From logits to ranked predictions."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence

import numpy as np

__all__ = ["Prediction", "ranked", "softmax"]


class Prediction(NamedTuple):
    """A label and how probable it is among the labels asked about."""

    label: str
    score: float
    """0 to 1; the scores of all labels of a call sum to 1."""


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, in float64."""
    logits = np.asarray(logits, dtype=np.float64)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def ranked(
    labels: Sequence[str], scores: np.ndarray, top_k: Optional[int] = None
) -> List[Prediction]:
    """Predictions, best first, equals in the order of ``labels``; at most ``top_k``.

    Args:
        labels: M different strings.
        scores: [M].
        top_k: None for all.
    """
    order = np.argsort(-scores, kind="stable")[:top_k]
    best = map(labels.__getitem__, order.tolist())
    return list(map(Prediction, best, scores[order].tolist()))
