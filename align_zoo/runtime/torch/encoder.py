"""Loads a checkpoint in PyTorch as an ``Encoder``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from tokenizers import Tokenizer

from align_zoo.checkpoint.folder import Checkpoint, unchanged
from align_zoo.errors import InvalidInput
from align_zoo.inputs.preprocess import read_transform
from align_zoo.runtime.encoder import Encoder
from align_zoo.runtime.machine import cores, keep_warm
from align_zoo.runtime.texts import TextBatcher
from align_zoo.runtime.torch.towers import TorchImage, TorchText
from align_zoo.runtime.tower import SlowPath, not_loaded
from align_zoo.towers.factory import (
    read_image_tower,
    read_text_tower,
    read_tokenizer,
)

__all__ = ["TorchEncoder", "torch_encoder"]

# Enough images to fill a GPU; on a CPU batching gains nothing.
_IMAGES_AT_ONCE = {"cpu": 4, "cuda": 64}
_TEXTS_AT_ONCE = 64
# For align-base on two cores, 65 ms a call and 1.4 ms a token. A GPU's calls are mostly launches.
_PADDING_A_CALL = {"cpu": 45, "cuda": 1024}
# The batches to capture. On a CPU launching costs nothing, so nothing is captured.
_SIZES: dict[str, tuple[int, ...]] = {"cpu": (), "cuda": (1, 4, 16, 64)}
_LENGTHS = (8, 16, 32, 64)


@dataclass(frozen=True)
class TorchEncoder(Encoder):
    """An ``Encoder`` with its dtype and its device."""

    dtype: str
    """"float32", "bfloat16" or "float16"."""
    device: str
    """"cpu", "cuda", "cuda:1" ..."""

    @property
    def explanation(self) -> str:
        """Describe the runtime for logs and metadata: as an ``Encoder``'s, and dtype and device."""
        computes = f"{self.dtype} on {self.device}, threads: {self.threads}"
        return self._explain(f"{self.runtime} ({computes})")


def torch_encoder(
    checkpoint: Checkpoint,
    *,
    device: str,
    dtype: str,
    threads: int | None,
    only: str | None,
    reason: str,
    slow_paths: Mapping[str, SlowPath],
) -> TorchEncoder:
    """Load the towers in ``dtype``; on a GPU a tower is captured on its first use.

    On a CPU the process keeps freed memory from now on: see ``keep_warm``.

    Raises:
        InvalidInput: torch cannot compute on ``device``.
        CheckpointError: the checkpoint cannot be loaded.
    """
    kind, _, number = device.partition(":")
    if kind == "cpu":
        keep_warm()
    else:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(number or 0) >= count:
            found = ", ".join(f"cuda:{each}" for each in range(count)) or "no GPU"
            raise InvalidInput(f"torch cannot compute on {device!r}: it finds {found}")
    # PyTorch does not know a container's quota.
    count = threads or min(cores(), torch.get_num_threads())
    if dtype == "auto":
        dtype = _fastest_dtype(device)
    precision = getattr(torch, dtype)
    with unchanged(checkpoint) as source:
        transform, tokenizer = read_transform(source), read_tokenizer(source)
        image = read_image_tower(source, transform) if only != "text" else None
        text = read_text_tower(source) if only != "image" else None
        temperature = source.temperature
    fast = tokenizer.hf.backend_tokenizer.to_str()
    longest = tokenizer.max_length
    return TorchEncoder(
        load_image=not_loaded
        if image is None
        else partial(
            TorchImage,
            image,
            device,
            precision,
            sizes=_SIZES[kind],
            image_size=transform.input_size,
            threads=count,
        ),
        load_text=not_loaded
        if text is None
        else partial(
            TorchText,
            text,
            device,
            precision,
            sizes=_SIZES[kind],
            lengths=[*(each for each in _LENGTHS if each < longest), longest],
            threads=count,
        ),
        transform=transform,
        texts=TextBatcher(
            Tokenizer.from_str(fast),
            longest,
            tokenizer.hf.pad_token_id,
            at_once=_TEXTS_AT_ONCE,
            padding_a_call=_PADDING_A_CALL[kind],
        ),
        temperature=temperature,
        fingerprint=checkpoint.fingerprint,
        images_at_once=_IMAGES_AT_ONCE[kind],
        vision=source.config.vision_config,
        runtime="torch",
        reason=reason,
        threads=count,
        slow_paths={tower: path for tower, path in slow_paths.items() if only in (None, tower)},
        dtype=dtype,
        device=device,
    )


def _fastest_dtype(device: str) -> str:
    if device == "cpu":
        return "float32"
    # GPUs older than Ampere emulate bfloat16.
    return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float16"
