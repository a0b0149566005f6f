"""Encoded pictures to pixels, and through a tower: decoded in threads while the tower works."""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, repeat
from pathlib import Path
from typing import Union

import numpy as np
from PIL import Image

from align_zoo.errors import InvalidImage
from align_zoo.inputs.pixels import in_words
from align_zoo.inputs.preprocess import MAX_BYTES, MAX_PIXELS, AlignTransform, open_encoded, to_rgb
from align_zoo.runtime.machine import cores
from align_zoo.runtime.room import Room

__all__ = ["ImageBatcher", "ImageLike"]

ImageLike = Union[str, "os.PathLike[str]", bytes, Image.Image]
"""A path, an encoded file or a PIL picture."""

Answer = Union[np.ndarray, InvalidImage]

_AHEAD = 16
"""Pictures that are decoded before the tower wants them, or two portions: a megabyte each."""

_LARGEST_AT_ONCE = 4
"""Pictures of the largest size are decoded at once, at most: each takes 20 bytes a pixel.

Sixteen of 12 megapixels are no more than that, so only larger ones wait for each other.
"""

# PIL reads an opened file on first use, and not safely from several threads. A lock for each
# picture, from a fixed set, so that different pictures are read at once.
_reading = [threading.Lock() for _ in range(256)]


# One slash too, for Path("http://...") drops the other; two letters, for C:/ is a drive.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|data:")


class ImageBatcher:
    """Embeds pictures, each with an answer or an error of its own.

    Args:
        transform: the checkpoint's.
        at_once: pictures through the tower at a time.
        max_bytes: largest encoded picture.
        max_pixels: largest picture, width times height.
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
        self._room = Room(_LARGEST_AT_ONCE * max_pixels)
        self._pool = ThreadPoolExecutor(cores(), thread_name_prefix="decode")

    def embed(
        self, items: Sequence[ImageLike], tower: Callable[[np.ndarray], np.ndarray]
    ) -> Iterator[Answer]:
        """A unit vector [D] for each picture, or what is wrong with it; each when it is ready."""
        return chain.from_iterable(self.portions(items, tower))

    def portions(
        self, items: Sequence[ImageLike], tower: Callable[[np.ndarray], np.ndarray]
    ) -> Iterator[list[Answer]]:
        """The same answers in the same order, as many together as go through the tower at a time.

        What is left over when the pictures are divided comes first, so that those who get their
        answers early, and ask again, meet a tower that has full portions to do.
        """
        done = 0
        # One alone need not wait for a thread to wake up.
        decoded = map(self._pixels, items) if len(items) == 1 else self._decoded(items)
        for chunk in self._chunks(decoded, first=len(items) % self._at_once or self._at_once):
            rows: Iterator[Answer] = iter(())
            if sound := _sound(chunk):
                try:
                    rows = iter(tower(_batch(sound)))
                except InvalidImage as error:  # of their shape, which all of them have
                    rows = repeat(error)
            answers = [each if isinstance(each, InvalidImage) else next(rows) for each in chunk]
            yield [
                _named(answer, items[i]) if isinstance(answer, InvalidImage) else answer
                for i, answer in enumerate(answers, done)
            ]
            done += len(chunk)

    def _decoded(self, items: Sequence[ImageLike]) -> Iterator[Answer]:
        """In order, from the threads, which are so far ahead and no farther."""
        ahead: deque[Future[Answer]] = deque()
        most = max(_AHEAD, 2 * self._at_once)
        try:
            for item in items:
                ahead.append(self._pool.submit(self._pixels, item))
                if len(ahead) > most:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:  # nobody wants the rest of those any more
            for each in ahead:
                each.cancel()

    def _pixels(self, item: ImageLike) -> Answer:
        """[3, H, W] at the tower's size at once: 16 pictures of 50 MP would be 2.4 GB."""
        try:
            picture = item if isinstance(item, Image.Image) else self._opened(item)
            with self._room.take(_pixels_of(picture)):
                with _reading[id(picture) // 16 % len(_reading)]:  # addresses are multiples of 16
                    rgb = to_rgb(picture)
                return self._transform.to_array(rgb)
        except InvalidImage as error:
            if isinstance(item, Image.Image) and error.__cause__ and "closed" not in str(error):
                # The caller's own image, so its decoder's words may be shown.
                words = f"{error} ({in_words(error.__cause__)})"
                return InvalidImage(words, error.reason)
            return error

    def _opened(self, item: str | os.PathLike[str] | bytes) -> Image.Image:
        if not isinstance(item, str | os.PathLike | bytes):
            raise InvalidImage(
                f"a {type(item).__name__} is neither a path nor an encoded picture (bytes) nor "
                "a PIL picture"
            )
        return open_encoded(item if isinstance(item, bytes) else _read(item), **self._limits)

    def _chunks(self, decoded: Iterable[Answer], first: int) -> Iterator[list[Answer]]:
        """In order, of one shape each: a checkpoint that neither resizes nor crops has many."""
        shape: tuple[int, ...] = ()
        chunk: list[Answer] = []
        most = first
        for each in decoded:
            if isinstance(each, np.ndarray):
                if len(_sound(chunk)) == most or (_sound(chunk) and each.shape != shape):
                    yield chunk
                    chunk, most = [], self._at_once
                shape = each.shape
            chunk.append(each)
        if chunk:
            yield chunk


def _sound(chunk: list[Answer]) -> list[np.ndarray]:
    return [each for each in chunk if isinstance(each, np.ndarray)]


def _batch(pictures: list[np.ndarray]) -> np.ndarray:
    """[N, 3, H, W]; of one picture without a copy."""
    return pictures[0][None] if len(pictures) == 1 else np.stack(pictures)


def _pixels_of(image: Image.Image) -> int:
    try:
        return image.width * image.height
    except AttributeError as error:  # a subclass whose __init__ leaves out Image's
        raise InvalidImage("the PIL picture cannot be decoded", "damaged") from error


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        if not os.fspath(path):  # of which Path makes the working directory
            raise FileNotFoundError
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise InvalidImage("does not exist", "unreadable") from None
    except OSError as error:
        why = error.strerror or in_words(error)
        raise InvalidImage(f"cannot be read: {why}", "unreadable") from None
    except Exception as error:  # a NUL, or half a character, in the name; __fspath__ fails
        raise InvalidImage(f"is no path: {in_words(error)}", "unreadable") from None


def _named(error: InvalidImage, item: ImageLike) -> InvalidImage:
    """The error with the path of its image, where that has one."""
    if not isinstance(item, str | os.PathLike):
        return error
    try:
        path = os.fsdecode(item)
    except Exception:  # its __fspath__ fails
        path = f"a {type(item).__name__}"
    message = str(error)
    if _URL.match(path):
        message = "is a URL, which is not fetched: give the bytes of its file"
    between = " " if error.reason == "unreadable" else ": "
    again = InvalidImage(f"{path[:200]!r}{between}{message}", error.reason)
    again.__cause__ = error.__cause__
    return again
