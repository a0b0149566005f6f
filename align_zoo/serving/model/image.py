"""Encoded images to unit vectors: the image tower as a served model, without Triton."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from align_zoo.inputs.decode import MAX_BYTES, MAX_PIXELS
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.runtime.encoder import Encoder
from align_zoo.runtime.images import ImageBatcher
from align_zoo.serving.model.answer import Answer
from align_zoo.serving.model.outputs import provenance, resize_fingerprint

__all__ = ["ImageService"]


class ImageService:
    """Decodes, transforms and embeds images.

    >>> service = ImageService(load_encoder("align_tiny", only="image"))
    >>> for answers in service.portions([Path("star.png").read_bytes()]):
    ...     print(answers)

    The service has an ImageBatcher of its own, because its limits come from the model's config;
    the encoder makes its batcher only when it is used.

    Args:
        encoder: the checkpoint in a runtime; the image tower is loaded here.
        max_bytes: the largest size of an encoded image.
        max_pixels: the largest size of an image, width times height.

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
        "no_decoder",
        "damaged",
    )
    """The reasons why an image may be refused."""

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
        """The service's own counts: none beside the items."""
        self.slowdown = encoder.slowdown("image")
        """The time of an image divided by the time on the fastest path, about."""
        self.width = encoder.vision.embedding_dim
        """The width of the embeddings."""
        self.constants = {
            **provenance(encoder),
            **_resize(encoder.transform),
        }
        """The outputs [1], and RESIZE [3], that are the same for every item."""

    def portions(self, items: Sequence[bytes]) -> Iterator[Sequence[Answer]]:
        """Yield one unit vector [D], or one error, for each encoded image.

        The answers are in order, in portions: each portion as soon as it is computed.
        """
        return self._batcher.portions(items, self._tower)

    def features(self, items: Sequence[bytes]) -> Iterator[Sequence[Answer]]:
        """Yield one feature map [D, h, w], or one error, for each encoded image.

        The mean of a map is the image's embedding before normalisation.
        """
        return self._batcher.portions(items, self._tower.features)

    def beside(self, items: Sequence[bytes]) -> dict[str, np.ndarray]:
        """Return no outputs of single images beside their embeddings."""
        return {}


def _resize(transform: AlignTransform) -> dict[str, np.ndarray]:
    """Return the outputs for a client that shrinks images: RESIZE and RESIZE_CHECK.

    RESIZE is height, width and PIL's number of the filter; RESIZE_CHECK is the fingerprint of
    the resized pixels. All are 0 if the checkpoint does not resize.
    """
    resize = (*transform.size, int(transform.resample)) if transform.size else (0, 0, 0)
    check = resize_fingerprint(*resize) if transform.size else 0
    return {
        "RESIZE": np.array(resize, dtype=np.int32),
        "RESIZE_CHECK": np.array([check], dtype=np.uint32),
    }
