"""Encoded pictures to unit vectors: the image tower as a served model, without Triton."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from align_zoo.errors import InvalidInput
from align_zoo.factory import load_image_tower
from align_zoo.preprocess import MAX_BYTES, MAX_PIXELS, decode_image

__all__ = ["ImageService"]


class ImageService:
    """Decode, transform and embed pictures.

    Args:
        name_or_folder: the checkpoint, as ``create_align`` takes it.
        device: where the tower computes.
        revision: branch, tag or commit of a hub id.
        max_bytes: largest encoded picture.
        max_pixels: largest picture, width times height.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
    """

    input_name = "IMAGE"

    def __init__(
        self,
        name_or_folder: str,
        *,
        device: str = "cpu",
        revision: str | None = None,
        max_bytes: int = MAX_BYTES,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        loaded = load_image_tower(name_or_folder, device=device, revision=revision)
        self._tower, self._transform, fingerprint = loaded
        self._device = device
        self._limits = {"max_bytes": max_bytes, "max_pixels": max_pixels}
        self.constants = {"CHECKPOINT": np.array([fingerprint.encode()], dtype=np.object_)}
        """Outputs [1] that are the same for every item."""

    def embed(self, items: Sequence[bytes]) -> list[np.ndarray | InvalidInput]:
        """One unit vector [D] for each encoded picture, or what is wrong with it."""
        answers: list[np.ndarray | InvalidInput | None] = [None] * len(items)
        # One shape as a rule; a checkpoint whose preprocessor neither resizes nor crops has many.
        by_shape: dict[torch.Size, list[tuple[int, torch.Tensor]]] = {}
        for i, data in enumerate(items):
            try:
                # To the tower's size at once: 16 decoded pictures of 50 MP would be 2.4 GB.
                pixels = self._transform(decode_image(data, **self._limits))
            except InvalidInput as error:
                answers[i] = error
            else:
                by_shape.setdefault(pixels.shape, []).append((i, pixels))
        for group in by_shape.values():
            vectors = self._forward(torch.stack([pixels for _, pixels in group]))
            for (i, _), vector in zip(group, vectors, strict=True):
                answers[i] = vector
        return [answer for answer in answers if answer is not None]

    @torch.inference_mode()
    def _forward(self, pixels: torch.Tensor) -> np.ndarray:
        embeds = self._tower(pixels.to(self._device))
        unit: np.ndarray = F.normalize(embeds.float(), dim=-1).cpu().numpy()
        return unit
