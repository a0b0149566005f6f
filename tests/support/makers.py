"""Checkpoints of makers other than ours (``checkpoints.lively_model``): what any lab may publish.

Each takes a config and the side of its images, and gives transformers' model in eval mode.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from transformers import AlignConfig, AlignModel

__all__ = ["MAKERS", "Maker", "photographs"]

Maker = Callable[[AlignConfig, int], AlignModel]


def photographs(count: int, side: int, channels: int = 3) -> torch.Tensor:
    """Pixels [N, C, H, W] in [-1, 1]: texture under a gradient of brightness."""
    texture = torch.rand(count, channels, side, side) * 0.6 - 0.3
    directions = torch.rand(count, 2) * 2 - 1
    rows, columns = torch.meshgrid(*[torch.linspace(-1, 1, side)] * 2, indexing="ij")
    light = directions[:, 0, None, None] * rows + directions[:, 1, None, None] * columns
    return (texture + light[:, None]).clamp(-1, 1)


def _kaiming(config: AlignConfig, side: int) -> AlignModel:
    """Statistics of photographs alone: on noise beyond their range the activations explode."""
    torch.manual_seed(12)
    model = AlignModel(config)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.6, 1.4)
            nn.init.normal_(module.bias, std=0.2)
            module.momentum = None  # a cumulative average over the pass below
    with torch.no_grad():
        vision = model.vision_model.train()
        vision(photographs(4, side, config.vision_config.num_channels))
    return model.eval()


def _default(config: AlignConfig, side: int) -> AlignModel:
    """torch's own start, which nothing has been trained from."""
    torch.manual_seed(13)
    model = AlignModel(config)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d | nn.LayerNorm):
            module.reset_parameters()
    return model.eval()


def _statistics(scale: float) -> Maker:
    """Maps, and BatchNorm's statistics of them, that are so many times as large as usual."""

    def make(config: AlignConfig, side: int) -> AlignModel:
        model = _kaiming(config, side)
        with torch.no_grad():
            for name, module in model.vision_model.named_modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.running_var *= scale**2
                    module.running_mean *= scale
                elif isinstance(module, nn.Conv2d) and "squeeze_excite" not in name:
                    module.weight *= scale
        return model

    return make


def _in(dtype: torch.dtype) -> Maker:
    return lambda config, side: _kaiming(config, side).to(dtype)


MAKERS: dict[str, Maker] = {
    "Kaiming": _kaiming,
    "torch's start": _default,
    "tiny statistics": _statistics(1e-3),
    "huge statistics": _statistics(1e3),
    "bfloat16": _in(torch.bfloat16),
    "float16": _in(torch.float16),
}
