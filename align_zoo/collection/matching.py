"""Whether an image shows what a search asks for, so that "nothing here matches" is an answer.

No cutoff of the cosine fits every search. An image is judged by what other texts say of it: texts
of everyday things, which have nothing to do with the search or with the collection. The figures are
in docs/collections.md, ``python -m benchmarks.collections.nothing`` measures them.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from align_zoo.checkpoint.paths import user_cache
from align_zoo.collection.embedder import Embedder
from align_zoo.collection.query import Term, weighted_sum
from align_zoo.errors import AlignZooError, InvalidImage
from align_zoo.writing import replacing

__all__ = ["Background", "background_texts", "find_matches"]

_ABOVE = 0.9
"""Share of the background texts that a text must beat."""
_NEAREST = 60
"""Background texts nearest to a text: it must beat their soft mean."""
_SOFT = 3.0
"""The temperature of that mean, in temperatures of the checkpoint."""
_MOST = 10_000
"""Images beyond which that margin does not grow."""
_NEARER = 0.78
"""Share of the way from an image's cosine with plain images to 1, beyond which two images match."""
_PLAIN = 16


def background_texts() -> list[str]:
    """Return the texts that a search is compared with, from ``assets/background_texts.txt``."""
    path = Path(__file__).parents[1] / "assets" / "background_texts.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def find_matches(
    terms: Sequence[Term],
    rows: Sequence[np.ndarray],
    background: Background,
    among: int,
    images: np.ndarray,
) -> np.ndarray:
    """Return which images match a search, [N] bool.

    The wanted texts judge: an image must match each. A search for images alone is judged by their
    sum. What is not wanted orders the hits only.

    Args:
        terms: the search.
        rows: each term's unit row [D].
        background: of the same checkpoint.
        among: how many images were searched.
        images: unit rows [N, D] of those to judge.
    """
    wanted = [(term, row) for term, row in zip(terms, rows, strict=True) if term.weight > 0]
    texts = [row for term, row in wanted if not term.is_image]
    if texts:
        # Several texts match by chance more rarely than one.
        each = among ** (1 / len(texts))
        return np.logical_and.reduce([background.text_matches(row, images, each) for row in texts])
    total = weighted_sum([term for term, _ in wanted], [row for _, row in wanted])
    return background.image_matches(total, images)


class Background:
    """What everyday texts and plain images are to a checkpoint: the measure of a match.

    >>> embedder = EncoderEmbedder("align_tiny")
    >>> Background(embedder).text_matches(embedder.texts(["a red star"])[0], images, len(images))
    array([ True, False])

    Computed once for a checkpoint, then kept in the user's cache.
    """

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder

    @cached_property
    def texts(self) -> np.ndarray:
        """The unit rows of the background texts, [B, D]."""
        texts = background_texts()
        return self._kept("\n".join(texts).encode(), lambda: self.embedder.texts(texts))

    @cached_property
    def images(self) -> np.ndarray:
        """The unit rows of plain images of random colours, [P, D]."""
        files = [_plain_image(seed) for seed in range(_PLAIN)]
        return self._kept(b"".join(files), lambda: self._rows(files))

    def text_matches(self, text: np.ndarray, images: np.ndarray, among: float) -> np.ndarray:
        """Return which images a text fits, [N] bool.

        An image's cosine with the text must be above its cosines with 90 % of the background
        texts, and by a margin above a mean of its cosines with the 60 background texts that are
        nearest to the text. In that mean, a cosine counts the more, the higher it is. The margin
        is ``1 + ln(among) / 2`` temperatures: of many images, some are near by chance.

        Args:
            text: a unit row [D].
            images: unit rows [N, D].
            among: how many images were searched for these.
        """
        own = images @ text
        others = images @ self.texts.T
        above = (others < own[:, None]).mean(axis=1) >= _ABOVE
        nearest = others[:, np.argsort(-(self.texts @ text))[:_NEAREST]]
        soft = _SOFT * self.embedder.temperature
        highest = nearest.max(axis=1, keepdims=True)
        mean = highest[:, 0] + soft * np.log(np.exp((nearest - highest) / soft).mean(axis=1))
        margin = 1 + np.log(min(max(among, 1), _MOST)) / 2
        return above & (own >= mean + margin * self.embedder.temperature)

    def image_matches(self, image: np.ndarray, images: np.ndarray) -> np.ndarray:
        """Return which images resemble an image, [N] bool.

        The cosine of the two must be 78 % of the way to 1, from the median of the cosines with
        plain images: that of the one or the other, whichever is higher.

        Args:
            image: a unit row [D].
            images: unit rows [N, D].
        """
        plain = np.median(np.concatenate([images, image[None]]) @ self.images.T, axis=1)
        start = np.maximum(plain[:-1], plain[-1])
        return images @ image >= start + _NEARER * (1 - start)

    def _rows(self, files: Sequence[bytes]) -> np.ndarray:
        rows = []
        for row in self.embedder.images(files):
            if isinstance(row, InvalidImage):
                raise AlignZooError(f"a plain image cannot be embedded: {row}") from row
            rows.append(row)
        return np.stack(rows)

    def _kept(self, what: bytes, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Return an array from the cache, or compute it and keep it where that is possible."""
        digest = hashlib.sha256(what).hexdigest()[:16]
        path = user_cache() / "background" / f"{self.embedder.fingerprint}-{digest}.npy"
        try:
            return np.load(path)
        except (OSError, ValueError, EOFError):
            pass  # not kept yet, or damaged
        rows = np.asarray(compute(), np.float32)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as part, part.open("wb") as file:
                np.save(file, rows)
        except OSError:
            pass  # a full disk or a home that cannot be written to: computed again next time
        return rows


def _plain_image(seed: int) -> bytes:
    """Draw coloured fields, from one to a fine grain, as PNG."""
    from PIL import Image

    chance = np.random.default_rng([9, seed])
    fields = int(chance.choice([1, 2, 3, 4, 8, 32]))
    pixels = chance.integers(0, 256, (fields, fields, 3), dtype=np.uint8)
    method = Image.Resampling.BICUBIC if seed % 2 else Image.Resampling.NEAREST
    file = io.BytesIO()
    Image.fromarray(pixels).resize((128, 128), method).save(file, "PNG")
    return file.getvalue()
