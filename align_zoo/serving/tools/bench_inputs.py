"""The inputs of a benchmark: images and new labels; and a check of the answers."""

from __future__ import annotations

import io
import mimetypes
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from align_zoo.errors import AlignZooError
from align_zoo.serving.tools.demo import sample_images

__all__ = ["Checked", "WrongAnswer", "drawn_photo", "encoded_images", "new_labels"]

_MOST = 200
"""The most images of a user's folder; all are held in memory."""


class WrongAnswer(Exception):
    """An embedding that differs from an earlier embedding of the same input."""


class Checked:
    """Embeds inputs in turn, and compares each answer with the input's first answer.

    >>> call = Checked(client.embed_image, [Path("red-star.png").read_bytes()])
    >>> call(0)
    """

    def __init__(self, embed: Callable[[Any], np.ndarray], inputs: Sequence[Any]) -> None:
        self._embed = embed
        self._inputs = inputs
        self._first: dict[int, np.ndarray] = {}

    def __call__(self, number: int) -> None:
        """Embed the input ``number``, modulo the number of inputs.

        Raises:
            WrongAnswer: the cosine with the first answer is 0.9999 or less.
        """
        which = number % len(self._inputs)
        answer = self._embed(self._inputs[which])[0]
        if not self._first.setdefault(which, answer) @ answer > 0.9999:  # NaN is wrong, too
            raise WrongAnswer(which)


def new_labels(count: int) -> list[str]:
    """Make random labels of two words, which no earlier run has sent."""
    rng = random.SystemRandom()

    def word() -> str:
        return "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(3))

    return [f"a photo of a {word()} {word()}" for _ in range(count)]


def drawn_photo(width: int, height: int, seed: int = 0) -> bytes:
    """Draw a JPEG of blurred colours with grain, with about the bytes of a photo of its size."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    grain = rng.integers(-12, 13, (height, width, 1), dtype=np.int16)
    file = io.BytesIO()
    Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def encoded_images(folder: Path | None) -> dict[str, list[bytes]]:
    """Read the images of ``folder``, or shipped and drawn images, by a description.

    Raises:
        AlignZooError: there is no such folder, or the folder has no image.
    """
    if folder is None:
        return {
            "a shipped image, 0.05 MP": [path.read_bytes() for path in sample_images()],
            "a drawn photo, 1.2 MP": [drawn_photo(1280, 960, seed) for seed in range(4)],
        }
    if not folder.is_dir():
        raise AlignZooError(f"there is no folder {folder}")
    paths = [path for path in sorted(folder.rglob("*")) if _is_image(path)][:_MOST]
    if not paths:
        raise AlignZooError(f"{folder} holds no images")
    return {f"an image of {folder.name}": [path.read_bytes() for path in paths]}


def _is_image(path: Path) -> bool:
    return (mimetypes.guess_type(path.name)[0] or "").startswith("image/") and path.is_file()
