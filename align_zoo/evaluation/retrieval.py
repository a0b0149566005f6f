"""Retrieval both ways between pictures and their captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn import functional as F

from align_zoo.evaluation.ranks import Answers, rank_of_best

__all__ = ["Retrieved", "retrieve"]

_ROWS = 1024


class Retrieved(NamedTuple):
    """Places of the right answers, 0 for the first."""

    images: torch.Tensor
    """[T] for each caption, the place of its own picture among all pictures."""
    texts: torch.Tensor
    """For each picture that has captions, the place of the best of them among all captions
    but its own."""


def retrieve(images: torch.Tensor, texts: torch.Tensor, owners: Sequence[int]) -> Retrieved:
    """Search pictures by caption and captions by picture.

    Args:
        images: [N, D] unit embeddings.
        texts: [T, D] unit embeddings.
        owners: [T] which picture each caption belongs to.
    """
    owner = torch.as_tensor(owners)
    pictures, captions = Answers(images), Answers(texts)
    to_image = [
        rank_of_best(pictures.scores(rows), F.one_hot(own, len(images)).bool())
        for rows, own in zip(texts.split(_ROWS), owner.split(_ROWS), strict=True)
    ]
    captioned = owner.unique()
    to_text = [
        rank_of_best(captions.scores(images[some]), some[:, None] == owner)
        for some in captioned.split(_ROWS)
    ]
    return Retrieved(torch.cat(to_image), torch.cat(to_text))
