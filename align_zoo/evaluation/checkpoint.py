"""A checkpoint, loaded for an evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from align_zoo.checkpoint.folder import open_checkpoint, unchanged
from align_zoo.errors import AlignZooError
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.inputs.tokenizer import AlignTokenizer
from align_zoo.runtime.machine import set_torch_threads
from align_zoo.towers.dual_encoder import Align
from align_zoo.towers.factory import create_align

__all__ = ["Loaded", "load"]


@dataclass(frozen=True)
class Loaded:
    """The model in eval mode on its device, its transform, its tokenizer and its identity."""

    align: Align
    transform: AlignTransform
    tokenizer: AlignTokenizer
    name: str
    fingerprint: str
    device: torch.device


def load(name_or_folder: str, device: str = "cpu", *, revision: str | None = None) -> Loaded:
    """Load a checkpoint for evaluation.

    Raises:
        CheckpointError: the checkpoint cannot be loaded, or is written to meanwhile.
        AlignZooError: torch cannot use the device.
    """
    try:
        torch.zeros(1, device=device).item()  # fails for "meta", whose tensors hold nothing
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise AlignZooError(f"device {device!r} cannot be used: {reason}") from error
    set_torch_threads()
    checkpoint = open_checkpoint(name_or_folder, revision=revision)
    with unchanged(checkpoint):  # embeddings are kept under the fingerprint
        # The folder, not the name: the hub must not be asked twice.
        model, transform, tokenizer = create_align(checkpoint.folder, device=device)
    return Loaded(
        model, transform, tokenizer, checkpoint.name, checkpoint.fingerprint, torch.device(device)
    )
