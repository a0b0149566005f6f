"""The towers in PyTorch: for GPUs, and for machines without ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from align_zoo.runtime.torch.graphs import FixedBatches, pad_texts
from align_zoo.towers.image_tower import AlignImage
from align_zoo.towers.text_tokens import check_tokens
from align_zoo.towers.text_tower import AlignText

__all__ = ["TorchImage", "TorchText", "fold_batch_norm"]

# A block's convolutions and the norms behind them, as timm names them.
_EXPANDING = (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3"))
_PLAIN = (("conv_dw", "bn1"), ("conv_pw", "bn2"))


class TorchImage:
    """Computes unit embeddings [N, D] from pixels [N, 3, H, W].

    Args:
        tower: the tower in eval mode; it is changed in place.
        device: where to compute.
        dtype: the dtype of the tower; pooling, normalisation and answers are in float32.
        sizes: batch sizes to capture, of images of ``image_size``.
        image_size: height and width.
        threads: CPU threads; by default torch's number.
    """

    def __init__(
        self,
        tower: AlignImage,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        sizes: Sequence[int] = (),
        image_size: tuple[int, int] | None = None,
        threads: int | None = None,
    ) -> None:
        fold_batch_norm(tower)
        tower.to(device, dtype, memory_format=torch.channels_last)
        _in_float32(tower.global_pool)

        def unit(pixels: torch.Tensor) -> torch.Tensor:
            x = pixels.to(dtype=dtype, memory_format=torch.channels_last)
            return _unit(tower(x))

        def features(pixels: torch.Tensor) -> torch.Tensor:
            x = pixels.to(dtype=dtype, memory_format=torch.channels_last)
            return tower.feature_maps(x)

        # The fastest kernels are chosen by noise.
        noise = np.random.default_rng(0).standard_normal
        rows = []
        if sizes and image_size:
            rows.append((noise((1, tower.in_chans, *image_size), dtype=np.float32),))
        self.batches = FixedBatches(unit, device, rows, sizes, threads)
        self._features = FixedBatches(features, device, threads=threads)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Embed a batch of one image size."""
        return self.batches(pixels)

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Compute the last feature maps [N, D, h, w] of a batch of one image size."""
        return self._features(pixels)


class TorchText:
    """Computes unit embeddings [N, D] from token ids and mask [N, L].

    Args:
        tower: the tower in eval mode; it is changed in place.
        device: where to compute.
        dtype: the dtype of BERT; projection, normalisation and answers are in float32.
        sizes: batch sizes to capture.
        lengths: the lengths in tokens to capture each size with; shorter texts are padded to the
            next length.
        threads: CPU threads; by default torch's number.
    """

    def __init__(
        self,
        tower: AlignText,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        sizes: Sequence[int] = (),
        lengths: Sequence[int] = (),
        threads: int | None = None,
    ) -> None:
        self._tower = tower.to(device)
        tower.bert.to(dtype)
        _in_float32(tower.head)
        captures = bool(sizes and lengths)

        def unit(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            if captures:
                # The shape that attention takes. transformers would check the values of a mask
                # [N, L], to leave the mask out, which a capture cannot follow.
                mask = mask[:, None, None, :].bool()
            # Not the tower's __call__, which would wait for the GPU to check the ids.
            return _unit(tower.forward(ids, mask))

        self._lengths = tuple(lengths) if captures else ()
        ones = [np.ones((1, length), dtype=np.int64) for length in self._lengths]
        rows = [(each, each) for each in ones]
        self.batches = FixedBatches(unit, device, rows, sizes, threads)

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Embed a batch of texts that are padded to one length."""
        check_tokens(self._tower.config, torch.from_numpy(input_ids))
        return self.batches(*pad_texts(input_ids, attention_mask, self._lengths))


def fold_batch_norm(tower: AlignImage) -> None:
    """Fold each BatchNorm of a tower in eval mode into the convolution in front.

    The answers are equal up to rounding.
    """
    _fold(tower, "conv_stem", "bn1")
    for stage in tower.blocks:
        for block in stage:
            for conv, norm in _EXPANDING if hasattr(block, "conv_pwl") else _PLAIN:
                _fold(block, conv, norm)


def _fold(block: Any, conv: str, norm: str) -> None:
    """Fold a norm; the activation of timm's BatchNormAct2d stays."""
    batch_norm = getattr(block, norm)
    if not isinstance(batch_norm, nn.BatchNorm2d):
        return  # folded before
    setattr(block, conv, fuse_conv_bn_eval(getattr(block, conv), batch_norm))
    setattr(block, norm, batch_norm.act)


def _in_float32(module: nn.Module) -> None:
    """Compute a module in float32: cheap at the end of a tower, where errors remain."""
    module.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))


def _unit(embeds: torch.Tensor) -> torch.Tensor:
    return F.normalize(embeds.float(), dim=-1)
