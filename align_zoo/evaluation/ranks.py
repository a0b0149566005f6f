"""Ranks of right answers, where a tie counts as a wrong answer."""

from __future__ import annotations

import torch

__all__ = ["Answers", "rank_of_best", "recall"]


class Answers:
    """Embeddings to choose from; equal embeddings always score the same.

    A matrix product may round equal columns differently, by their position. So distinct
    embeddings alone are multiplied.

    Args:
        vectors: [C, D] unit rows.
    """

    def __init__(self, vectors: torch.Tensor) -> None:
        self._different, self._which = vectors.unique(dim=0, return_inverse=True)

    def scores(self, rows: torch.Tensor) -> torch.Tensor:
        """Compute the cosines [N, C] of ``rows`` [N, D]."""
        return (rows @ self._different.t())[:, self._which]


def rank_of_best(scores: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Count the wrong answers [N] that score at least as high as the best right answer.

    A tie counts against the model, and so does NaN: a model with equal scores is never right.
    Rank 0 is the first place.

    Args:
        scores: [N, C], higher is better.
        right: [N, C] bool; a row without a right answer has the rank C.
    """
    best = scores.masked_fill(~right, float("-inf")).amax(1, keepdim=True)
    # "Not below" instead of "at least": a comparison with NaN is false.
    beaten = scores < best
    return (~beaten & ~right).sum(1)


def recall(ranks: torch.Tensor, k: int, candidates: int) -> float | None:
    """Compute the share of ranks below ``k``, 0 to 1; None for fewer than ``k`` candidates."""
    return (ranks < k).double().mean().item() if k <= candidates else None
