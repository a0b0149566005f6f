"""Training's data: a pool of images that are drawn beforehand, and batches with captions."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from align_zoo.tiny.architecture import IMAGE_SIZE, RESIZE
from align_zoo.tiny.captions import write_caption, write_unrelated
from align_zoo.tiny.concepts import ALL_COLOURS, SIZES, Meaning, shape_combinations
from align_zoo.tiny.digits import load_digits
from align_zoo.tiny.images import EASY, EVERYDAY, draw_image

# Every random choice comes from a generator of (seed, stream, index). So no choice depends on
# earlier choices, and a resumed training equals an uninterrupted training.
TRAIN_IMAGES, TRAIN_BATCHES, EVALUATION, SAMPLES = range(4)
DIGIT_SHARE = 0.4
CAPTIONS_EACH = 2


@dataclass(frozen=True)
class ImagePool:
    """Images in memory.

    Attributes:
        pixels: Resized images, not cropped, ``[N, RESIZE, RESIZE, 3]``.
        meanings: The meaning of each image.
        easy: The number of easy images, which come first.
    """

    pixels: NDArray[np.uint8]
    meanings: list[Meaning]
    easy: int


@dataclass(frozen=True)
class Batch:
    """Captioned images for one step.

    Attributes:
        pixels: ``[B, 3, IMAGE_SIZE, IMAGE_SIZE]`` in -1 to 1.
        captions: A caption of each image, in the images' order, ``CAPTIONS_EACH`` times; then
            captions of no image.
        rivals: Whether a caption is a fair wrong answer, ``[B, len(captions)]``.
    """

    pixels: NDArray[np.float32]
    captions: list[str]
    rivals: NDArray[np.bool_]


def sample_meaning(rng: np.random.Generator) -> tuple[Meaning, int | None]:
    """Choose a training image's meaning, and the index of its digit in the training split."""
    size = (None, *SIZES)[int(rng.integers(3))]
    if rng.random() < DIGIT_SHARE:
        labels = load_digits("train").labels
        index = int(rng.integers(len(labels)))
        colour = ALL_COLOURS[int(rng.integers(len(ALL_COLOURS)))]
        size = None if size == "small" else size
        return Meaning(colour, digit=int(labels[index]), size=size), index
    pairs = shape_combinations()
    colour, shape = pairs[int(rng.integers(len(pairs)))]
    return Meaning(colour, shape=shape, size=size), None


def _draw(seed: int, easy: int, index: int) -> tuple[NDArray[np.uint8], Meaning]:
    rng = np.random.default_rng([seed, TRAIN_IMAGES, index])
    meaning, digit = sample_meaning(rng)
    glyph = None if digit is None else load_digits("train").ink[digit]
    image = draw_image(meaning, rng, glyph, EASY if index < easy else EVERYDAY)
    small = image.resize((RESIZE, RESIZE), Image.Resampling.BILINEAR)
    return np.asarray(small), meaning


def draw_pool(
    seed: int, count: int, easy: int, workers: int
) -> Iterator[tuple[NDArray[np.uint8], Meaning]]:
    """Draw training images in several processes, the easy images first, in a fixed order."""
    load_digits("train")
    if workers <= 1:
        yield from map(partial(_draw, seed, easy), range(count))
        return
    with ProcessPoolExecutor(workers) as executor:
        yield from executor.map(partial(_draw, seed, easy), range(count), chunksize=256)


def _crop(
    image: NDArray[np.uint8], meaning: Meaning, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Crop the image at random, and mirror images of shapes at random."""
    top, left = rng.integers(0, RESIZE - IMAGE_SIZE + 1, 2)
    crop = image[top : top + IMAGE_SIZE, left : left + IMAGE_SIZE]
    mirror = meaning.digit is None and rng.random() < 0.5
    return crop[:, ::-1] if mirror else crop


def sample_batch(
    pool: ImagePool, seed: int, step: int, size: int, unrelated: int, easy_share: float = 0.0
) -> Batch:
    """Make the batch of a step, the same at every call.

    Args:
        pool: The images.
        seed: Training's seed.
        step: The step's number.
        size: The number of images, ``B``.
        unrelated: The number of captions of no image.
        easy_share: The share of the batch with easy images and plain captions.
    """
    rng = np.random.default_rng([seed, TRAIN_BATCHES, step])
    easy = round(size * easy_share)
    others = pool.easy + rng.choice(len(pool.meanings) - pool.easy, size - easy, replace=False)
    chosen = [*rng.choice(pool.easy, easy, replace=False), *others]
    shown = [pool.meanings[index] for index in chosen]
    crops = [_crop(pool.pixels[i], meaning, rng) for i, meaning in zip(chosen, shown, strict=True)]
    pixels = np.stack(crops).transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    pixels *= rng.uniform(0.9, 1.1, (size, 1, 1, 1)).astype(np.float32)
    written = [
        write_caption(meaning, rng, plain=rng.random() < easy_share)
        for meaning in shown * CAPTIONS_EACH
    ]
    captions = [caption for caption, _ in written]
    captions += [write_unrelated(rng) for _ in range(unrelated)]
    rivals = np.ones((size, len(captions)), dtype=bool)
    rivals[:, : len(written)] = [[said.rivals(seen) for _, said in written] for seen in shown]
    return Batch(pixels, captions, rivals)
