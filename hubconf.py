"""What torch.hub finds in this repository; docs/integrations.md shows how to load it."""

from align_zoo import (
    align_base_image,
    align_base_text,
    align_emoji_image,
    align_emoji_text,
    align_tiny_image,
    align_tiny_text,
    create_align,
)

__all__ = [
    "align_base_image",
    "align_base_text",
    "align_emoji_image",
    "align_emoji_text",
    "align_tiny_image",
    "align_tiny_text",
    "create_align",
]

dependencies = [
    "filelock",
    "huggingface_hub",
    "numpy",
    "PIL",
    "safetensors",
    "timm",
    "tokenizers",
    "torch",
    "torchvision",
    "transformers",
    "wrapt",
]
