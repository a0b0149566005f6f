"""ALIGN's loss where several captions of a batch may be true of one image."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def caption_loss(similarity: Tensor, rivals: Tensor, each: int = 1) -> Tensor:
    """Compute the symmetric cross-entropy without the false negatives.

    "Something red" is true of every red image of the batch. So each image has to find its own
    caption among fair wrong answers, and each caption its own image. If all other captions are
    rivals, the result is ALIGN's loss without label smoothing. Smoothing is for captions from the
    web, which are often wrong; the captions here are right.

    Args:
        similarity: Cosine over temperature, ``[B, each * B + U]``: a caption of each of the B
            images, in their order, ``each`` times; then U captions of no image.
        rivals: Whether the caption is a fair wrong answer for the image, ``[B, each * B + U]``.
        each: The number of captions of an image.
    """
    count = len(similarity)
    wrong = similarity.masked_fill(~rivals, float("-inf"))
    paired = similarity[:, : each * count].reshape(count, each, count)
    own = paired.diagonal(dim1=0, dim2=2)  # [each, B]
    # The cross-entropy of the own caption against the others alone is softplus(others - own).
    other_captions = wrong.logsumexp(dim=1)
    to_caption = F.softplus(other_captions - own)
    other_images = wrong[:, : each * count].logsumexp(dim=0).reshape(each, count)
    to_image = F.softplus(other_images - own)
    return (to_caption.mean() + to_image.mean()) / 2
