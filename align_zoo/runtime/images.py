"""Encoded images to pixels, and through a tower: threads decode while the tower computes."""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, repeat
from pathlib import Path
from typing import Union

import numpy as np
from PIL import Image

from align_zoo.errors import InvalidImage
from align_zoo.inputs.decode import MAX_BYTES, MAX_PIXELS, open_encoded, to_rgb
from align_zoo.inputs.pixels import in_words
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.runtime.machine import cores

__all__ = ["ImageBatcher", "ImageLike", "WeightedSemaphore", "read_image"]

ImageLike = Union[str, "os.PathLike[str]", bytes, Image.Image]
"""A path, an encoded file's bytes or a PIL image."""

Answer = Union[np.ndarray, InvalidImage]

_AHEAD = 16
"""The least number of images to decode ahead of the tower; an image takes about a megabyte."""

_LARGEST_AT_ONCE = 4
"""The most images of the largest size to decode at once: an image takes 20 bytes a pixel.

Sixteen images of 12 megapixels stay within that memory, so only larger images wait for each other.
"""

# PIL reads an opened file on first use, and not safely from several threads. Each image has a lock
# from a fixed set, so that threads can read different images at once.
_reading = [threading.Lock() for _ in range(256)]


# One slash is enough, for Path("http://...") drops the other. A scheme has two letters or more,
# for C:/ is a drive.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|data:")


class ImageBatcher:
    """Embeds images, each with an answer or an error of its own.

    Args:
        transform: the checkpoint's preprocessing.
        at_once: the most images in a call of the tower.
        max_bytes: the largest size of an encoded image.
        max_pixels: the largest size of an image, width times height.
    """

    def __init__(
        self,
        transform: AlignTransform,
        *,
        at_once: int,
        max_bytes: int = MAX_BYTES,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self._transform, self._at_once = transform, at_once
        self._limits = {"max_bytes": max_bytes, "max_pixels": max_pixels}
        self._pixels_at_once = WeightedSemaphore(_LARGEST_AT_ONCE * max_pixels)
        self._pool = ThreadPoolExecutor(cores(), thread_name_prefix="decode")

    def embed(
        self, items: Sequence[ImageLike], tower: Callable[[np.ndarray], np.ndarray]
    ) -> Iterator[Answer]:
        """Yield for each image its unit vector [D] or its error, as soon as either is ready."""
        return chain.from_iterable(self.portions(items, tower))

    def portions(
        self, items: Sequence[ImageLike], tower: Callable[[np.ndarray], np.ndarray]
    ) -> Iterator[list[Answer]]:
        """Yield the same answers in the same order, one list for each call of the tower.

        The remainder of the division by ``at_once`` comes first. So callers who get early answers,
        and ask again, meet a tower that computes full portions.
        """
        done = 0
        # A single image need not wait for a thread to wake up.
        decoded = map(self._pixels, items) if len(items) == 1 else self._decoded(items)
        for chunk in self._chunks(decoded, first=len(items) % self._at_once or self._at_once):
            rows: Iterator[Answer] = iter(())
            if sound := _sound(chunk):
                try:
                    rows = iter(tower(_batch(sound)))
                except InvalidImage as error:  # about the shape, which all images of a chunk share
                    rows = repeat(error)
            answers = [each if isinstance(each, InvalidImage) else next(rows) for each in chunk]
            yield [
                _named(answer, items[i]) if isinstance(answer, InvalidImage) else answer
                for i, answer in enumerate(answers, done)
            ]
            done += len(chunk)

    def _decoded(self, items: Sequence[ImageLike]) -> Iterator[Answer]:
        """Yield decoded images in order, while the threads decode a bounded number ahead."""
        ahead: deque[Future[Answer]] = deque()
        most = max(_AHEAD, 2 * self._at_once)
        try:
            for item in items:
                ahead.append(self._pool.submit(self._pixels, item))
                if len(ahead) > most:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:  # the caller may have stopped before the last image
            for each in ahead:
                each.cancel()

    def _pixels(self, item: ImageLike) -> Answer:
        """Return [3, H, W] at the tower's size: 16 images of 50 MP in full would take 2.4 GB."""
        try:
            image = _opened(item, **self._limits)
            with self._pixels_at_once.take(_pixels_of(image)):
                return self._transform.rgb_to_array(_rgb(image))
        except InvalidImage as error:
            return _quoting(error, item)

    def _chunks(self, decoded: Iterable[Answer], first: int) -> Iterator[list[Answer]]:
        """Yield chunks in order, each of one shape.

        A checkpoint that neither resizes nor crops gives images of many shapes.
        """
        shape: tuple[int, ...] = ()
        chunk: list[Answer] = []
        sound, most = 0, first
        for each in decoded:
            if isinstance(each, np.ndarray):
                if sound == most or (sound and each.shape != shape):
                    yield chunk
                    chunk, sound, most = [], 0, self._at_once
                shape, sound = each.shape, sound + 1
            chunk.append(each)
        if chunk:
            yield chunk


def read_image(item: ImageLike) -> Image.Image:
    """Decode one image to RGB, turned upright by its EXIF orientation.

    Raises:
        InvalidImage: the image is not accepted; the message names its path.
    """
    try:
        return _rgb(_opened(item))
    except InvalidImage as error:
        raise _named(_quoting(error, item), item) from error.__cause__


class WeightedSemaphore:
    """A bound on the units that several threads hold at once.

    While a thread waits for its units, no other thread takes any: a thread that wants few units
    waits behind a thread that wants many.

    Args:
        size: the number of units.
    """

    def __init__(self, size: int) -> None:
        self._size = self._left = size
        self._turn, self._changed = threading.Lock(), threading.Condition()

    @contextmanager
    def take(self, wanted: int) -> Iterator[None]:
        """Wait until ``wanted`` units are free, and hold them for the time of a block.

        A thread that wants more than ``size`` units waits for all of them.
        """
        wanted = min(wanted, self._size)
        with self._turn, self._changed:
            while wanted > self._left:
                self._changed.wait()
            self._left -= wanted
        try:
            yield
        finally:
            with self._changed:
                self._left += wanted
                self._changed.notify()  # only the thread that holds _turn waits here


def _opened(item: ImageLike, **limits: int) -> Image.Image:
    if isinstance(item, Image.Image):
        return item
    if not isinstance(item, str | os.PathLike | bytes):
        raise InvalidImage(
            f"a {type(item).__name__} is neither a path nor an encoded image (bytes) nor "
            "a PIL image"
        )
    return open_encoded(item if isinstance(item, bytes) else _read(item), **limits)


def _rgb(image: Image.Image) -> Image.Image:
    with _reading[id(image) // 16 % len(_reading)]:  # addresses are multiples of 16
        return to_rgb(image)


def _quoting(error: InvalidImage, item: ImageLike) -> InvalidImage:
    """Quote the decoder if the image is the caller's own PIL image."""
    if isinstance(item, Image.Image) and error.__cause__ and "closed" not in str(error):
        return InvalidImage(f"{error} ({in_words(error.__cause__)})", error.reason)
    return error


def _sound(chunk: list[Answer]) -> list[np.ndarray]:
    return [each for each in chunk if isinstance(each, np.ndarray)]


def _batch(images: list[np.ndarray]) -> np.ndarray:
    """Return [N, 3, H, W]; a single image is not copied."""
    return images[0][None] if len(images) == 1 else np.stack(images)


def _pixels_of(image: Image.Image) -> int:
    try:
        return image.width * image.height
    except AttributeError as error:  # a subclass whose __init__ does not call PIL's
        raise InvalidImage("the PIL image cannot be decoded", "damaged") from error


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        if not os.fspath(path):  # Path("") is the working directory
            raise FileNotFoundError
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise InvalidImage("does not exist", "unreadable") from None
    except OSError as error:
        why = error.strerror or in_words(error)
        raise InvalidImage(f"cannot be read: {why}", "unreadable") from None
    except Exception as error:  # the name has a NUL or half a character, or __fspath__ fails
        raise InvalidImage(f"is no path: {in_words(error)}", "unreadable") from None


def _named(error: InvalidImage, item: ImageLike) -> InvalidImage:
    """Add the path of the image, if the image has a path, to its error."""
    if not isinstance(item, str | os.PathLike):
        return error
    try:
        path = os.fsdecode(item)
    except Exception:  # the item's __fspath__ fails
        path = f"a {type(item).__name__}"
    message = str(error)
    if _URL.match(path):
        message = "is a URL, which is not fetched: give the bytes of its file"
    between = " " if error.reason == "unreadable" else ": "
    again = InvalidImage(f"{path[:200]!r}{between}{message}", error.reason)
    again.__cause__ = error.__cause__
    return again
