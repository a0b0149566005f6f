"""The image towers as timm's users make them."""

from __future__ import annotations

import timm
import torch

import align_zoo  # noqa: F401  registers the towers

NAMES = timm.list_models("align_*_image")
SIZE = 65  # odd, and small enough for B7 to run in a moment


def create(name: str, **kwargs):
    torch.manual_seed(0)
    return timm.create_model(name, **kwargs)


def images(count: int = 2, size: int = SIZE, channels: int = 3) -> torch.Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(1))
