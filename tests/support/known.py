"""Requests whose right answers are known, good and bad ones."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Union

import numpy as np
from PIL import Image, ImageDraw

from align_client import AlignClient, InvalidInput
from align_zoo.runtime.encoder import Encoder

__all__ = ["Known", "heavy_images", "is_right", "known_requests", "mixed"]

Item = Union[bytes, str]


@dataclass(frozen=True)
class Known:
    """An image or a text, and what the service has to answer."""

    item: Item
    vector: np.ndarray | None
    """Unit vector [D]; None for what has to be refused as InvalidInput."""

    def ask(self, client: AlignClient) -> bool:
        """Send it: whether the answer is right.

        Raises:
            AlignClientError: anything but the refusal that is due.
        """
        ask = client.embed_text if isinstance(self.item, str) else client.embed_image
        try:
            (vector,) = ask(self.item)
        except InvalidInput:
            return self.vector is None
        return is_right(vector, self.vector)


def is_right(vector: np.ndarray, expected: np.ndarray | None) -> bool:
    """Equal but for the last bits, which depend on what shares the batch."""
    return expected is not None and bool(np.allclose(vector, expected, atol=1e-4))


def known_requests(encoder: Encoder, *, images: int = 32, texts: int = 64) -> list[Known]:
    """Small images, texts, and one in ten that is rubbish, in a fixed order."""
    files = [_image(seed) for seed in range(images)]
    words = [f"{i} a photo of a {_COLOURS[i % len(_COLOURS)]} thing" for i in range(texts)]
    good = [
        *zip(files, encoder.embed_images(files), strict=True),
        *zip(words, encoder.embed_texts(words), strict=True),
    ]
    order = np.random.default_rng(0).permutation(len(good))
    requests = [Known(*good[i]) for i in order]
    bad = [Known(item, None) for item in _rubbish(files)]
    for place, each in zip(itertools.count(5, 10), itertools.islice(itertools.cycle(bad), 10)):
        requests.insert(place, each)
    return requests


def heavy_images(encoder: Encoder, count: int = 8, *, width: int = 3000) -> list[Known]:
    """Few bytes and much work: flat PNGs of six megapixels, which no cache knows."""
    files = [_png(_shapes(seed, width, width * 2 // 3)) for seed in range(count)]
    return [Known(*each) for each in zip(files, encoder.embed_images(files), strict=True)]


def mixed(requests: Sequence[Known], seed: int) -> Iterator[Known]:
    """The requests again and again, each time in another order."""
    rng = np.random.default_rng(seed)
    while True:
        for i in rng.permutation(len(requests)):
            yield requests[i]


_COLOURS = "red green blue yellow purple orange black white".split()


def _rubbish(files: Sequence[bytes]) -> list[Item]:
    bomb = bytearray(files[0])
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2  # the size in a PNG's header
    return [files[1][:-40], b"no image at all", b"", b"GIF89a" + bytes(20), bytes(bomb), "\x01"]


def _image(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    width, height = (int(side) for side in rng.integers(60, 260, 2))
    if seed % 2:
        return _png(_shapes(seed, width, height))
    file = io.BytesIO()
    _shapes(seed, width, height).save(file, "JPEG", quality=90)
    return file.getvalue()


def _shapes(seed: int, width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), _colour(rng))
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        x, y = rng.integers(0, width * 2 // 3), rng.integers(0, height * 2 // 3)
        box = (int(x), int(y), int(x) + width // 3, int(y) + height // 3)
        draw.ellipse(box, fill=_colour(rng))
    return image


def _colour(rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(value) for value in rng.integers(0, 256, 3))


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
