"""The public face of the runtimes: pictures and texts in, unit vectors out, in numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from align_zoo.errors import InvalidImage, InvalidInput, InvalidText
from align_zoo.preprocess import AlignTransform
from align_zoo.runtime.images import ImageBatcher, ImageLike
from align_zoo.runtime.once import once
from align_zoo.runtime.texts import TextBatcher
from align_zoo.strings import check_strings

__all__ = ["Encoder", "ImageTower", "TextTower", "not_loaded"]

ImageTower = Callable[[np.ndarray], np.ndarray]
"""Pixels [N, 3, H, W] float32 to unit embeddings [N, D] float32, any N."""
TextTower = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Token ids and mask [N, L] int64 to unit embeddings [N, D] float32, any N."""


def not_loaded() -> NoReturn:
    """In the place of the tower that ``load_encoder`` was told to leave out.

    Raises:
        InvalidInput: always.
    """
    raise InvalidInput("this encoder was loaded for the other tower only; load it without only=")


@dataclass(frozen=True)
class Encoder:
    """Both towers of a checkpoint in one runtime, as ``load_encoder`` makes it.

    A tower is loaded when it is first asked for, once for all threads.
    """

    load_image: Callable[[], ImageTower]
    load_text: Callable[[], TextTower]
    transform: AlignTransform
    texts: TextBatcher
    temperature: float
    """The learned scalar of ``logits = cosine / temperature``."""
    fingerprint: str
    """The checkpoint's: embeddings of different fingerprints do not compare."""
    images_at_once: int
    """Pictures through the tower at a time: as many as this runtime is fast with."""
    num_channels: int
    runtime: str
    """"onnx" or "torch"."""
    reason: str
    """Why this runtime."""
    threads: int
    """That a tower computes with on the CPU."""

    @property
    def explanation(self) -> str:
        """The runtime, how many threads it has and why it was taken, for logs and metadata."""
        return f"{self.runtime} (threads: {self.threads}): {self.reason}"

    @once
    def image(self) -> ImageTower:
        """The image tower.

        Raises:
            CheckpointError: it cannot be loaded.
            InvalidInput: it was left out.
        """
        return self.load_image()

    @once
    def text(self) -> TextTower:
        """The text tower.

        Raises:
            CheckpointError: it cannot be loaded.
            InvalidInput: it was left out.
        """
        return self.load_text()

    @once
    def _images(self) -> ImageBatcher:
        return ImageBatcher(self.transform, at_once=self.images_at_once)

    def embed_images(self, items: Sequence[ImageLike]) -> np.ndarray:
        """Unit rows [N, D] of N paths, encoded pictures (bytes) or PIL pictures.

        Raises:
            InvalidImage: there is none, or one is not accepted; the message says which.
        """
        if isinstance(items, (str, bytes)) or not isinstance(items, Sequence) or not items:
            raise InvalidImage("embed_images takes a list of at least one picture")
        rows = []
        for i, answer in enumerate(self._images.embed(items, self.image)):
            if isinstance(answer, InvalidImage):
                raise InvalidImage(f"picture {i}: {answer}") from answer
            rows.append(answer)
        return np.stack(rows)

    def embed_pixels(self, x: np.ndarray) -> np.ndarray:
        """Unit rows [N, D] of preprocessed pictures [N, 3, H, W] float32.

        Raises:
            InvalidImage: another shape or type.
        """
        wanted = f"[N, {self.num_channels}, H, W] float32"
        if not isinstance(x, np.ndarray) or x.dtype != np.float32:
            kind = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
            raise InvalidImage(f"the pixels are {kind}, not an array {wanted}")
        if x.ndim != 4 or not len(x) or x.shape[1] != self.num_channels:
            raise InvalidImage(f"the pixels are {list(x.shape)}, not {wanted}")
        if min(x.strides) < 0 or not x.flags.aligned:  # which torch does not know
            x = x.copy()
        chunks = range(0, len(x), self.images_at_once)
        return np.concatenate([self.image(x[i : i + self.images_at_once]) for i in chunks])

    def embed_texts(self, strings: Sequence[str]) -> np.ndarray:
        """Unit rows [N, D] of N strings; equal ones are computed once.

        Raises:
            InvalidText: there is none, or something else than strings.
        """
        if isinstance(strings, str) or not isinstance(strings, Sequence) or not strings:
            raise InvalidText("embed_texts takes a list of at least one string")
        check_strings(strings)
        return self.texts.embed(strings, self.text)
