"""Zero-shot accuracy on a folder of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from align_zoo.evaluation.ranks import Answers, rank_of_best

__all__ = ["Classified", "classify"]

_ROWS = 1024


@dataclass(frozen=True)
class Classified:
    """The result of a classification.

    Attributes:
        ranks: [N] the rank of each image's true class, 0 for the first.
        confusion: [C, C] counts: row the true class, column the class found. The diagonal sums
            to the number of images of rank 0.
    """

    ranks: torch.Tensor
    confusion: torch.Tensor

    def recall_of_classes(self) -> list[float | None]:
        """Compute for each class the share of its images that was found; None without images."""
        counts = self.confusion.sum(1).tolist()
        right = self.confusion.diagonal().tolist()
        return [hit / count if count else None for hit, count in zip(right, counts, strict=True)]


def classify(vectors: torch.Tensor, weights: torch.Tensor, targets: Sequence[int]) -> Classified:
    """Compare images with classes.

    Args:
        vectors: [N, D] unit embeddings of images.
        weights: [D, C] from ``zero_shot_weights``.
        targets: [N] the true classes.
    """
    classes = weights.shape[1]
    answers = Answers(weights.t())
    confusion = torch.zeros(classes, classes, dtype=torch.long)
    ranks = []
    for rows, truth in zip(
        vectors.split(_ROWS), torch.as_tensor(targets).split(_ROWS), strict=True
    ):
        scores = answers.scores(rows)
        right = F.one_hot(truth, classes).bool()
        rank = rank_of_best(scores, right)
        # A tie counts as wrong: the class found is then the best wrong class.
        rival = scores.masked_fill(right, float("-inf")).argmax(1)
        found = torch.where(rank == 0, truth, rival)
        confusion.index_put_((truth, found), torch.ones_like(truth), accumulate=True)
        ranks.append(rank)
    return Classified(torch.cat(ranks), confusion)
