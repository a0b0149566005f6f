"""ALIGN as two ordinary timm models; importing this package registers them.

>>> import timm, align_zoo
>>> backbone = timm.create_model("align_tiny_image", pretrained=True, features_only=True)
>>> model, transform, tokenizer = align_zoo.create_align("align_tiny")

A public name is imported when it is first asked for, and the towers are registered when timm
is imported, before or after this package: a server on exported towers never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from wrapt import register_post_import_hook

if TYPE_CHECKING:
    from align_zoo.collection.collection import Collection
    from align_zoo.collection.hits import Hit
    from align_zoo.collection.writer import Report
    from align_zoo.errors import (
        AlignZooError,
        CheckpointError,
        InvalidImage,
        InvalidInput,
        InvalidText,
    )
    from align_zoo.formats.save import save_hf, save_timm
    from align_zoo.runtime.encoder import Encoder
    from align_zoo.runtime.load import load_encoder
    from align_zoo.runtime.predictions import Prediction
    from align_zoo.towers.align_image import (
        align_base_image,
        align_emoji_image,
        align_tiny_image,
    )
    from align_zoo.towers.align_text import align_base_text, align_emoji_text, align_tiny_text
    from align_zoo.towers.dual_encoder import Align, AlignOutput
    from align_zoo.towers.factory import create_align
    from align_zoo.zero_shot.classifier import bake_zero_shot, zero_shot_weights
    from align_zoo.zero_shot.compose import compose
    from align_zoo.zero_shot.heatmap import Heatmap, heatmap, heatmaps

__version__: str

__all__ = [
    "Align",
    "AlignOutput",
    "AlignZooError",
    "CheckpointError",
    "Collection",
    "Encoder",
    "Heatmap",
    "Hit",
    "InvalidImage",
    "InvalidInput",
    "InvalidText",
    "Prediction",
    "Report",
    "align_base_image",
    "align_base_text",
    "align_emoji_image",
    "align_emoji_text",
    "align_tiny_image",
    "align_tiny_text",
    "bake_zero_shot",
    "compose",
    "create_align",
    "heatmap",
    "heatmaps",
    "load_encoder",
    "save_hf",
    "save_timm",
    "zero_shot_weights",
]

_HOMES = {
    "Align": "towers.dual_encoder",
    "AlignOutput": "towers.dual_encoder",
    "AlignZooError": "errors",
    "CheckpointError": "errors",
    "Collection": "collection.collection",
    "Encoder": "runtime.encoder",
    "Heatmap": "zero_shot.heatmap",
    "Hit": "collection.hits",
    "InvalidImage": "errors",
    "InvalidInput": "errors",
    "InvalidText": "errors",
    "Prediction": "runtime.predictions",
    "Report": "collection.writer",
    "align_base_image": "towers.align_image",
    "align_base_text": "towers.align_text",
    "align_emoji_image": "towers.align_image",
    "align_emoji_text": "towers.align_text",
    "align_tiny_image": "towers.align_image",
    "align_tiny_text": "towers.align_text",
    "bake_zero_shot": "zero_shot.classifier",
    "compose": "zero_shot.compose",
    "create_align": "towers.factory",
    "heatmap": "zero_shot.heatmap",
    "heatmaps": "zero_shot.heatmap",
    "load_encoder": "runtime.load",
    "save_hf": "formats.save",
    "save_timm": "formats.save",
    "zero_shot_weights": "zero_shot.classifier",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("align-zoo")
    if name not in _HOMES:
        raise AttributeError(f"module 'align_zoo' has no attribute {name!r}")
    return getattr(import_module(f"align_zoo.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _register_towers(timm: ModuleType) -> None:
    import_module("align_zoo.towers.align_image")
    import_module("align_zoo.towers.align_text")


register_post_import_hook(_register_towers, "timm")
