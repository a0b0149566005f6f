"""Images through a tower in threads: each with an answer or an error of its own."""

from __future__ import annotations

import io
import os
import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import align_zoo
from align_zoo import InvalidImage
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.runtime.images import ImageBatcher
from align_zoo.runtime.machine import cores


def jpeg(seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def some_pixels(arrays: np.ndarray) -> np.ndarray:
    """A tower that anybody can check."""
    return arrays.reshape(len(arrays), -1)[:, :1000]


def batcher() -> ImageBatcher:
    return ImageBatcher(AlignTransform.from_dict({}), at_once=4)


def test_opened_file_may_be_listed_several_times():
    (expected,) = batcher().embed([jpeg()], some_pixels)
    for _ in range(20):
        opened = Image.open(io.BytesIO(jpeg()))
        for row in batcher().embed([opened] * 6, some_pixels):
            assert np.array_equal(row, expected)


def test_damaged_opened_file_fails_alone():
    opened = [Image.open(io.BytesIO(data)) for data in (jpeg(1), jpeg(2)[:-20_000], jpeg(3))]
    first, damaged, last = batcher().embed(opened, some_pixels)
    assert isinstance(damaged, InvalidImage) and "truncated" in str(damaged)
    expected = list(batcher().embed([jpeg(1), jpeg(3)], some_pixels))
    assert np.array_equal([first, last], expected)


class Taken(list):
    """Images that count how many of them were asked for."""

    count = 0

    def __iter__(self):
        for each in super().__iter__():
            self.count += 1
            yield each


def test_decoding_ahead_of_the_tower_is_bounded():
    images, computed = Taken([jpeg()] * 60), 0

    def tower(arrays: np.ndarray) -> np.ndarray:
        nonlocal computed
        computed += len(arrays)
        # Beside those 16 there is the first image of the next portion.
        assert images.count <= computed + 17
        return some_pixels(arrays)

    assert len(list(batcher().embed(images, tower))) == 60
    assert images.count == computed == 60


def test_abandoned_images_are_not_decoded():
    gate, read = threading.Event(), []

    class Waiting(os.PathLike):
        def __fspath__(self) -> str:
            gate.wait(60)
            read.append(self)
            return "/nowhere"

    own = batcher()
    answers = own.embed([jpeg()] * 5 + [Waiting() for _ in range(12)], some_pixels)
    next(answers)
    del answers  # as whoever asked does after an error
    gate.set()
    assert len(list(own.embed([jpeg()] * 2, some_pixels))) == 2  # behind all that came before
    assert len(read) <= cores()


def test_error_is_raised_before_all_images_are_computed():
    encoder = align_zoo.load_encoder("align_tiny", runtime="onnx")
    computed = 0

    def tower(arrays: np.ndarray) -> np.ndarray:
        nonlocal computed
        computed += len(arrays)
        return some_pixels(arrays)

    encoder = replace(encoder, load_image=lambda: tower)
    with pytest.raises(InvalidImage, match="image 0: not an image"):
        encoder.embed_images([b"<svg/>"] + [jpeg()] * 40)
    assert computed <= encoder.images_at_once
