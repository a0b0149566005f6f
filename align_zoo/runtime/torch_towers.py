"""The towers in PyTorch: for GPUs, and where ONNX Runtime cannot be used."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from align_zoo.image_tower import AlignImage
from align_zoo.text_tower import AlignText

__all__ = ["TorchImage", "TorchText", "fold_batch_norm"]

# A block's convolutions and the norms behind them, as timm names them.
_EXPANDING = (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3"))
_PLAIN = (("conv_dw", "bn1"), ("conv_pw", "bn2"))


class TorchImage:
    """Pixels [N, 3, H, W] to unit embeddings [N, D].

    Args:
        tower: in eval mode; it is not changed.
        device: where to compute.
        dtype: to compute in; the answers are float32.
    """

    def __init__(
        self,
        tower: AlignImage,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._device, self._dtype = device, dtype
        folded = fold_batch_norm(tower)
        self._tower = folded.to(device, dtype, memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Any batch of one picture size."""
        x = torch.from_numpy(pixels).to(
            self._device, self._dtype, memory_format=torch.channels_last
        )
        return _unit(self._tower(x))


class TorchText:
    """Token ids and mask [N, L] to unit embeddings [N, D].

    Args:
        tower: in eval mode; it is not changed.
        device: where to compute.
        dtype: to compute in; the answers are float32.
    """

    def __init__(
        self,
        tower: AlignText,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._device = device
        self._tower = deepcopy(tower).to(device, dtype)

    @torch.inference_mode()
    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Any batch, padded to one length."""
        ids, mask = (torch.from_numpy(x).to(self._device) for x in (input_ids, attention_mask))
        return _unit(self._tower(ids, mask))


def fold_batch_norm(tower: AlignImage) -> AlignImage:
    """A copy in eval mode whose convolutions do the work of the BatchNorm behind them.

    The answers are equal up to rounding.
    """
    folded = deepcopy(tower).eval()
    _fold(folded, "conv_stem", "bn1")
    for stage in folded.blocks:
        for block in stage:
            for conv, norm in _EXPANDING if hasattr(block, "conv_pwl") else _PLAIN:
                _fold(block, conv, norm)
    return folded


def _fold(block: Any, conv: str, norm: str) -> None:
    """timm's BatchNormAct2d is a norm and an activation; the activation stays."""
    batch_norm = getattr(block, norm)
    setattr(block, conv, fuse_conv_bn_eval(getattr(block, conv), batch_norm))
    setattr(block, norm, batch_norm.act)


def _unit(embeds: torch.Tensor) -> np.ndarray:
    rows: np.ndarray = F.normalize(embeds.float(), dim=-1).cpu().numpy()
    return rows
