"""Checks whether a text tower's input tensors fit the tower and each other."""

from __future__ import annotations

import torch

from align_zoo.checkpoint.config import TextConfig
from align_zoo.errors import InvalidText

__all__ = ["check_tokens"]


def check_tokens(
    config: TextConfig,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    token_type_ids: torch.Tensor | None = None,
) -> None:
    """Check that a tower of this shape can take the tensors.

    Raises:
        InvalidText: a tensor does not fit; the message names the tensor and the right shape.
    """
    if not isinstance(input_ids, torch.Tensor):
        raise InvalidText(f"the token ids are a {type(input_ids).__name__}, not a tensor")
    if input_ids.ndim != 2 or not input_ids.numel():
        raise InvalidText(f"the token ids are {list(input_ids.shape)}, not [N, L]")
    if input_ids.dtype not in (torch.int64, torch.int32):
        raise InvalidText(f"the token ids are {input_ids.dtype}, not torch.int64")
    rows, length = input_ids.shape
    if length > config.max_position_embeddings:
        raise InvalidText(
            f"the text has {length} tokens; this model has "
            f"{config.max_position_embeddings} positions (max_position_embeddings)"
        )
    if attention_mask is not None and getattr(attention_mask, "ndim", 0) != 4:
        _check_shape("attention_mask", attention_mask, (rows,), length)
    if token_type_ids is not None:
        _check_shape("token_type_ids", token_type_ids, (rows, 1), length)
    if input_ids.is_meta:  # a meta tensor has no values
        return
    size = config.vocab_size
    if (id := _outside(input_ids, size)) is not None:
        raise InvalidText(
            f"token id {id} is not in the vocabulary, which has {size} tokens (vocab_size)"
        )
    size = config.type_vocab_size
    if token_type_ids is not None and (id := _outside(token_type_ids, size)) is not None:
        raise InvalidText(f"token type {id} is none of this model's {size} (type_vocab_size)")


def _check_shape(name: str, tensor: object, rows: tuple[int, ...], length: int) -> None:
    if not isinstance(tensor, torch.Tensor):
        raise InvalidText(f"{name} is a {type(tensor).__name__}, not a tensor")
    if tensor.shape not in [(count, length) for count in rows]:
        wanted = [rows[0], length]
        raise InvalidText(f"{name} is {list(tensor.shape)}, not {wanted} as the token ids")


def _outside(ids: torch.Tensor, size: int) -> int | None:
    """Find an id below 0 or not below ``size``; None without such an id."""
    low, high = (int(id) for id in ids.aminmax())
    return next((id for id in (low, high) if not 0 <= id < size), None)
