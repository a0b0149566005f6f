"""ALIGN's loss where several captions of a batch may be true of one picture."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def caption_loss(similarity: Tensor, rivals: Tensor, each: int = 1) -> Tensor:
    """Symmetric cross-entropy with the false negatives left out.

    "Something red" is true of every red picture of the batch. So each picture has to find its
    own caption among fair wrong answers, and each caption its own picture likewise. Where
    everything but one's own is a rival this is ALIGN's loss but for the label smoothing,
    which is for captions found on the web: often wrong, where these are right.

    Args:
        similarity: Cosine over temperature, ``[B, each * B + U]``: the captions of the B pictures
            in their order, as often as there are captions for each, then U of no picture.
        rivals: Whether the caption is a fair wrong answer for the picture, ``[B, each * B + U]``.
        each: How many captions each picture has.
    """
    count = len(similarity)
    wrong = similarity.masked_fill(~rivals, float("-inf"))
    paired = similarity[:, : each * count].reshape(count, each, count)
    own = paired.diagonal(dim1=0, dim2=2)  # [each, B]
    # Cross-entropy of one's own against the others alone is softplus(others - own).
    other_captions = wrong.logsumexp(dim=1)
    to_caption = F.softplus(other_captions - own)
    other_pictures = wrong[:, : each * count].logsumexp(dim=0).reshape(each, count)
    to_picture = F.softplus(other_pictures - own)
    return (to_caption.mean() + to_picture.mean()) / 2
