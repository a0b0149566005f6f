"""A checkpoint in PyTorch as an ``Encoder``."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer

from align_zoo.checkpoint import Checkpoint
from align_zoo.errors import InvalidInput
from align_zoo.factory import create_align
from align_zoo.runtime.encoder import Encoder
from align_zoo.runtime.texts import TextBatcher
from align_zoo.runtime.torch_towers import TorchImage, TorchText

__all__ = ["torch_encoder"]

# On a GPU a batch is what fills it; on a CPU batching gains nothing.
_IMAGES_AT_ONCE = {"cpu": 4, "cuda": 64}


def torch_encoder(
    checkpoint: Checkpoint, *, device: str, threads: int | None, reason: str
) -> Encoder:
    """Both towers in float32.

    Raises:
        InvalidInput: torch cannot compute on ``device``.
        CheckpointError: the checkpoint cannot be loaded.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device != "cpu" and not torch.cuda.is_available():
        raise InvalidInput(f"torch cannot compute on {device!r}: it finds no GPU")
    if threads:
        torch.set_num_threads(threads)
    model, transform, tokenizer = create_align(checkpoint.folder)
    fast = tokenizer.hf.backend_tokenizer.to_str()
    return Encoder(
        load_image=lambda: TorchImage(model.image, device),
        load_text=lambda: TorchText(model.text, device),
        transform=transform,
        texts=TextBatcher(
            Tokenizer.from_str(fast), tokenizer.max_length, tokenizer.hf.pad_token_id
        ),
        temperature=model.temperature.item(),
        fingerprint=checkpoint.fingerprint,
        images_at_once=_IMAGES_AT_ONCE[device.partition(":")[0]],
        num_channels=model.image.in_chans,
        runtime="torch",
        reason=reason,
    )
