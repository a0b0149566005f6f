"""Queries that mix images and texts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from align_zoo.errors import InvalidInput

__all__ = ["compose"]

_UNIT = 1e-2  # wide enough for half precision; a raw embedding is far off
_NOTHING = 1e-3


def compose(*plus: torch.Tensor, minus: torch.Tensor | Sequence[torch.Tensor] = ()) -> torch.Tensor:
    """Return the unit vector of a sum of wanted embeddings, less the unwanted ones.

    ``compose(image, blue, minus=red)`` asks for what the image shows, but blue: the image
    and text queries of the ALIGN paper (arXiv:2102.05918, figure 5).

    Args:
        *plus: unit vectors [D], or rows [N, D] for N queries at once; a vector [D] or [1, D]
            joins each query.
        minus: an unwanted embedding, or several, of the same shapes.

    Returns:
        [D], or [N, D] if an argument has rows.

    Raises:
        InvalidInput: nothing is added, shapes do not match, a vector is not of unit length, or
            a sum is zero, so that it has no direction.
    """
    subtracted = [minus] if isinstance(minus, torch.Tensor) else list(minus)
    if not plus:
        raise InvalidInput("compose needs at least one vector to add")
    _check([*plus, *subtracted])
    total = plus[0]
    for term in plus[1:]:
        total = total + term
    for term in subtracted:
        total = total - term
    if not (total.float().norm(dim=-1) > _NOTHING).all():
        raise InvalidInput("the sum of the vectors is zero: it asks for nothing")
    return F.normalize(total, dim=-1)


def _check(terms: Sequence[torch.Tensor]) -> None:
    for i, term in enumerate(terms):
        if not isinstance(term, torch.Tensor):
            raise InvalidInput(f"vector {i} is a {type(term).__name__}, not a tensor")
    shapes = [list(term.shape) for term in terms]
    widths = {shape[-1] if len(shape) in (1, 2) else None for shape in shapes}
    counts = {shape[0] for shape in shapes if len(shape) == 2} - {1}
    if None in widths or len(widths) > 1 or len(counts) > 1:
        raise InvalidInput(
            f"vectors {', '.join(map(str, shapes))} cannot be added: each must be [D] or [N, D]"
        )
    for i, term in enumerate(terms):
        if not ((term.float().norm(dim=-1) - 1).abs() <= _UNIT).all():  # so that NaN fails, too
            raise InvalidInput(
                f"vector {i} is not of unit length; encode_image and encode_text give such with "
                "normalize=True"
            )
