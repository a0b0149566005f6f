"""Retrieval both ways between images and their captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn import functional as F

from align_zoo.evaluation.ranks import Answers, rank_of_best

__all__ = ["Retrieved", "retrieve"]

_ROWS = 1024


class Retrieved(NamedTuple):
    """Ranks of the right answers, 0 for the first."""

    images: torch.Tensor
    """[T] for each caption, the rank of its own image among all images."""
    texts: torch.Tensor
    """For each image that has captions, the rank of its best caption among the captions of all
    other images."""


def retrieve(images: torch.Tensor, texts: torch.Tensor, owners: Sequence[int]) -> Retrieved:
    """Search images by caption and captions by image.

    Args:
        images: [N, D] unit embeddings.
        texts: [T, D] unit embeddings.
        owners: [T] the index of each caption's image.
    """
    owner = torch.as_tensor(owners)
    image_answers, text_answers = Answers(images), Answers(texts)
    to_image = [
        rank_of_best(image_answers.scores(rows), F.one_hot(own, len(images)).bool())
        for rows, own in zip(texts.split(_ROWS), owner.split(_ROWS), strict=True)
    ]
    captioned = owner.unique()
    to_text = [
        rank_of_best(text_answers.scores(images[some]), some[:, None] == owner)
        for some in captioned.split(_ROWS)
    ]
    return Retrieved(torch.cat(to_image), torch.cat(to_text))
