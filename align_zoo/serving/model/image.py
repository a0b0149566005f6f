"""Encoded pictures to unit vectors: the image tower as a served model, without Triton."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from align_zoo.inputs.preprocess import MAX_BYTES, MAX_PIXELS, AlignTransform
from align_zoo.runtime.encoder import Encoder
from align_zoo.runtime.images import ImageBatcher
from align_zoo.serving.model.answer import Answer
from align_zoo.serving.model.outputs import provenance, resize_fingerprint

__all__ = ["ImageService"]


class ImageService:
    """Decode, transform and embed pictures.

    Args:
        encoder: the checkpoint in a runtime; its image tower is loaded here.
        max_bytes: largest encoded picture.
        max_pixels: largest picture, width times height.

    Raises:
        CheckpointError: the tower cannot be loaded.
    """

    input_name = "IMAGE"
    reasons: tuple[str, ...] = (
        "empty",
        "too_many_bytes",
        "too_many_pixels",
        "too_many_parts",
        "format",
        "damaged",
    )
    """Why a picture may be refused."""

    def __init__(
        self, encoder: Encoder, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS
    ) -> None:
        self._tower = encoder.image
        self._batcher = ImageBatcher(
            encoder.transform,
            at_once=encoder.images_at_once,
            max_bytes=max_bytes,
            max_pixels=max_pixels,
        )
        self.counts: dict[str, int] = {}
        """Nothing to count beside the pictures themselves."""
        self.slowdown = encoder.slowdown("image")
        """How many times as long as it could a picture takes, about."""
        self.constants = {
            **provenance(encoder),
            **_resize(encoder.transform),
        }
        """Outputs [1], RESIZE [3], that are the same for every item."""

    def portions(self, items: Sequence[bytes]) -> Iterator[Sequence[Answer]]:
        """One unit vector [D] for each encoded picture, or what is wrong with it.

        In order, in portions: each as soon as it is computed.
        """
        return self._batcher.portions(items, self._tower)


def _resize(transform: AlignTransform) -> dict[str, np.ndarray]:
    """For a client that shrinks: height, width and PIL's number of the filter, and its pixels.

    All 0 for no resize.
    """
    resize = (*transform.size, int(transform.resample)) if transform.size else (0, 0, 0)
    check = resize_fingerprint(*resize) if transform.size else 0
    return {
        "RESIZE": np.array(resize, dtype=np.int32),
        "RESIZE_CHECK": np.array([check], dtype=np.uint32),
    }
