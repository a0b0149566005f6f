"""ALIGN as two ordinary timm models; importing this package registers them.

>>> import timm, align_zoo
>>> backbone = timm.create_model("align_tiny_image", pretrained=True, features_only=True)
>>> model, transform, tokenizer = align_zoo.create_align("align_tiny")
"""

from align_zoo.align_image import align_base_image, align_tiny_image
from align_zoo.align_text import align_base_text, align_tiny_text
from align_zoo.compose import compose
from align_zoo.errors import AlignZooError, CheckpointError, InvalidImage, InvalidInput, InvalidText
from align_zoo.factory import create_align
from align_zoo.model import Align, AlignOutput
from align_zoo.saving import save_hf, save_timm
from align_zoo.zero_shot import bake_zero_shot, zero_shot_weights

__version__ = "0.1.0"

__all__ = [
    "Align",
    "AlignOutput",
    "AlignZooError",
    "CheckpointError",
    "InvalidImage",
    "InvalidInput",
    "InvalidText",
    "align_base_image",
    "align_base_text",
    "align_tiny_image",
    "align_tiny_text",
    "bake_zero_shot",
    "compose",
    "create_align",
    "save_hf",
    "save_timm",
    "zero_shot_weights",
]
