"""What answers are compared on, and how far they are apart: shared by tests and the report."""

from __future__ import annotations

import numpy as np
import torch
from checkpoints import PREPROCESSOR
from PIL import Image
from transformers import BaseImageProcessor

SIZES = [289, 288, 300, 224, 75]
TEXTS = [
    "a photo of a cat",
    "a photo of two big red buses, running past a dog in the rain!",
    "cat",
    "ünïcödé 世界 and [MASK]",
]
SHAPES = [(640, 480), (480, 640), (289, 289), (346, 346), (1, 1), (3, 700), (1201, 77), (33, 31)]


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float(((ours - theirs).norm(dim=-1) / theirs.norm(dim=-1)).max())


def photo(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Smooth colours with noise: what a photograph is to a resampler."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [128 + 80 * np.sin(x / rng.uniform(5, 40) + y / rng.uniform(5, 40)) for _ in range(3)]
    pixels = np.stack(waves, -1) + rng.normal(0, 12, (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(mode)


def processor(**values: object) -> BaseImageProcessor:
    from transformers.models.efficientnet.image_processing_pil_efficientnet import (
        EfficientNetImageProcessorPil,
    )

    config = {k: v for k, v in {**PREPROCESSOR, **values}.items() if k != "image_processor_type"}
    return EfficientNetImageProcessorPil(**config)
