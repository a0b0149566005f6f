"""Loads a checkpoint's model, its transform and its tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from align_zoo.checkpoint.folder import Checkpoint, open_checkpoint
from align_zoo.checkpoint.hf_names import check_complete, from_hf, image_table, text_table
from align_zoo.inputs.preprocess import AlignTransform, read_transform
from align_zoo.inputs.tokenizer import AlignTokenizer
from align_zoo.torch_state import on_cpu
from align_zoo.towers.align_image import build_image_tower
from align_zoo.towers.align_text import build_text_tower
from align_zoo.towers.dual_encoder import Align
from align_zoo.towers.image_tower import AlignImage
from align_zoo.towers.text_tower import AlignText

__all__ = [
    "LoadedImageTower",
    "LoadedTextTower",
    "create_align",
    "load_image_tower",
    "load_text_tower",
    "read_image_tower",
    "read_text_tower",
    "read_tokenizer",
]

Device = torch.device | str


class LoadedImageTower(NamedTuple):
    """The image tower with its transform."""

    tower: AlignImage
    transform: AlignTransform
    fingerprint: str
    """The checkpoint's fingerprint, equal for both towers of a checkpoint."""


class LoadedTextTower(NamedTuple):
    """The text tower with its tokenizer and the temperature."""

    tower: AlignText
    tokenizer: AlignTokenizer
    temperature: float
    """The learned scalar of ``logits = cosine / temperature``."""
    fingerprint: str
    """The checkpoint's fingerprint, equal for both towers of a checkpoint."""


def create_align(
    name_or_folder: str | Path,
    *,
    device: Device | None = None,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
) -> tuple[Align, AlignTransform, AlignTokenizer]:
    """Load the model in eval mode, its image transform and its tokenizer.

    Args:
        name_or_folder: a hub id, an ALIGN folder, "align_tiny" or "align_emoji".
        device: the model's device; the CPU by default.
        dtype: the model's dtype; float32 by default, also for checkpoints of another dtype.
        revision: branch, tag or commit of a hub id.
        cache_dir: the hub cache, instead of Hugging Face's default.

    Raises:
        CheckpointError: the checkpoint cannot be found, is damaged, incomplete or not supported.
            The message names the file and the key or field.
    """
    checkpoint = open_checkpoint(name_or_folder, revision=revision, cache_dir=cache_dir)
    transform, tokenizer = read_transform(checkpoint), read_tokenizer(checkpoint)
    image, text = read_image_tower(checkpoint, transform), read_text_tower(checkpoint)
    with on_cpu():
        model = Align(image, text, checkpoint.temperature)
    return model.to(device=device, dtype=dtype).eval(), transform, tokenizer


def load_image_tower(
    name_or_folder: str | Path,
    *,
    device: Device | None = None,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
) -> LoadedImageTower:
    """Load the image tower alone, in eval mode; arguments and errors are ``create_align``'s."""
    checkpoint = open_checkpoint(name_or_folder, revision=revision, cache_dir=cache_dir)
    transform = read_transform(checkpoint)
    tower = read_image_tower(checkpoint, transform).to(device=device, dtype=dtype)
    return LoadedImageTower(tower, transform, checkpoint.fingerprint)


def load_text_tower(
    name_or_folder: str | Path,
    *,
    device: Device | None = None,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
) -> LoadedTextTower:
    """Load the text tower alone, in eval mode; arguments and errors are ``create_align``'s."""
    checkpoint = open_checkpoint(name_or_folder, revision=revision, cache_dir=cache_dir)
    tokenizer = read_tokenizer(checkpoint)
    tower = read_text_tower(checkpoint).to(device=device, dtype=dtype)
    return LoadedTextTower(tower, tokenizer, checkpoint.temperature, checkpoint.fingerprint)


def read_image_tower(checkpoint: Checkpoint, transform: AlignTransform) -> AlignImage:
    """Read the image tower on the CPU, in float32 and in eval mode."""
    with on_cpu():
        tower = build_image_tower(checkpoint.config.vision_config, transform, dtype=torch.float32)
        _fill(tower, checkpoint, image_table(tower), "vision_model.")
    return tower.eval()


def read_tokenizer(checkpoint: Checkpoint) -> AlignTokenizer:
    """Read the tokenizer."""
    return AlignTokenizer.from_folder(checkpoint.folder, checkpoint.config.text_config)


def read_text_tower(checkpoint: Checkpoint) -> AlignText:
    """Read the text tower on the CPU, in float32 and in eval mode."""
    config = checkpoint.config
    with on_cpu():
        tower = build_text_tower(config.text_config, config.projection_dim, dtype=torch.float32)
        _fill(tower, checkpoint, text_table(), "text_model.", "text_projection.")
    return tower.eval()


def _fill(
    tower: AlignImage | AlignText, checkpoint: Checkpoint, table: dict[str, str], *prefixes: str
) -> None:
    weights = from_hf(checkpoint.weights(*prefixes), table)
    check_complete(weights, tower, source=str(checkpoint.weights_file))
    tower.load_state_dict(weights, strict=False)  # check_complete lets batch counters be absent
