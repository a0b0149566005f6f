"""Every kind of image that a caller may give, to the bytes of an encoded file."""

from __future__ import annotations

import os
import re
import stat
import threading
from pathlib import Path
from typing import Iterable, List, Mapping, NamedTuple, Tuple, Union

import numpy as np
from PIL import Image

from align_client.errors import InvalidInput
from align_client.fork_local import ForkLocal
from align_client.pixels import PixelError, eight_bit, in_words
from align_client.shrink import (
    NO_RESIZE,
    Resize,
    as_png,
    is_large,
    resizes_alike,
    shrunk_file,
    shrunk_image,
)

__all__ = ["MAX_BYTES", "Encoded", "ImageLike", "Images", "as_list", "encoded", "may_shrink"]

ImageLike = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, Image.Image, np.ndarray]
"""A path, an encoded file, a PIL image, or a uint8 array [H, W], [H, W, 3] or [H, W, 4]."""

Images = Union[ImageLike, Iterable[ImageLike]]
"""One image or several images."""

MAX_BYTES = 64_000_000
"""The most bytes sent for one image. The server accepts less, by limits of its own."""

ACCEPTED = (
    "a path, bytes of an encoded file, a PIL image, "
    "or a uint8 array [height, width], [height, width, 3] or [height, width, 4]"
)


class Encoded(NamedTuple):
    """An image ready to be sent."""

    data: bytes
    """The encoded file."""
    shrunk: bool = False
    """Whether the image was shrunk, and so is right only for a server that resizes likewise."""


# PIL reads an opened file on first use, which is not safe in several threads. Each image has one
# lock of a fixed set, so that different images can be read at the same time.
_read_locks = ForkLocal(lambda: [threading.Lock() for _ in range(256)])


def as_list(images: Images) -> Tuple[List[ImageLike], bool]:
    """Return the images as a list, and whether the caller gave several; do not open them.

    Raises:
        InvalidInput: ``images`` is neither an image nor an iterable, or is empty.
    """
    if isinstance(
        images, (str, os.PathLike, bytes, bytearray, memoryview, Image.Image, np.ndarray)
    ):
        return [images], False
    # Iterating over an open file would yield its lines.
    if isinstance(images, Mapping) or not isinstance(images, Iterable) or _is_open(images):
        raise _no_image(images)
    several = list(images)
    if not several:
        raise InvalidInput("no images: at least one is needed")
    return several, True


def encoded(
    image: ImageLike,
    resize: Resize = NO_RESIZE,
    *,
    files: Union[bool, str] = False,
) -> Encoded:
    """Encode the image as a file, without loss.

    The content of a path or of bytes is not changed. PIL images (their current frame) and arrays
    become PNG files of 8-bit grey or RGB: the pixels that the server would make of them.

    Args:
        image: the image that the caller gave.
        resize: how the server resizes. A large image is shrunk to the pixels that the server
            would make of it. With NO_RESIZE nothing is shrunk.
        files: whether paths and bytes are shrunk, too: False, True or "draft". With True or
            "draft" images are shrunk even if this PIL resizes differently from the server's.

    Raises:
        InvalidInput: the image cannot be used; the message says why.
    """
    shrunk = False
    if isinstance(image, (str, os.PathLike)):
        data = _file(image)
    elif isinstance(image, (bytes, bytearray, memoryview)):
        try:
            data = bytes(image)
        except ValueError as error:  # of a released memoryview
            raise InvalidInput(f"the image's bytes cannot be read: {in_words(error)}") from error
        if not data:
            raise InvalidInput("the image is empty (0 bytes)")
    elif isinstance(image, Image.Image):
        plain, shrunk = _plain(image, resize, exact=not files)
        data = as_png(plain)
    elif isinstance(image, np.ndarray):
        plain, shrunk = _plain(_from_array(image), resize, exact=not files)
        data = as_png(plain)
    else:
        raise _no_image(image)
    if files and not isinstance(image, (Image.Image, np.ndarray)):
        small = shrunk_file(data, resize, draft=files == "draft")
        if small is not None:
            data, shrunk = small, True
    if len(data) > MAX_BYTES:
        raise InvalidInput(
            f"the image is {len(data):,} bytes encoded; at most {MAX_BYTES:,} can be sent"
        )
    return Encoded(data, shrunk)


def may_shrink(image: ImageLike, *, files: Union[bool, str]) -> bool:
    """Return whether :func:`encoded` may shrink the image, without decoding anything."""
    if isinstance(image, Image.Image):
        size = getattr(image, "size", (0, 0))  # a subclass may lack a size
        return getattr(image, "mode", "I") not in ("I", "F") and is_large(3 * size[0] * size[1])
    if isinstance(image, np.ndarray):
        sound = image.dtype == np.uint8 and image.ndim in (2, 3)
        return sound and is_large(3 * image.shape[0] * image.shape[1])
    try:
        if files and isinstance(image, (str, os.PathLike)):
            return is_large(Path(os.fsdecode(image)).stat().st_size)
        if files and isinstance(image, (bytes, bytearray, memoryview)):
            return is_large(memoryview(image).nbytes)
    except Exception:  # encoded() will say what is wrong with the image
        pass
    return False


def _file(given: Union[str, os.PathLike[str]]) -> bytes:
    try:
        path = os.fsdecode(given)  # entries of os.scandir(b"...") have paths of bytes
    except Exception as error:  # raised by __fspath__
        raise InvalidInput(f"{_kind(given)} is no path: {in_words(error)}") from error
    shown = repr(path[:200])
    try:
        if not path:  # Path("") is the working directory
            raise FileNotFoundError
        found = Path(path).stat()
        if stat.S_ISDIR(found.st_mode):
            raise InvalidInput(f"{shown} is a directory, not an image file")
        if not stat.S_ISREG(found.st_mode):
            raise InvalidInput(f"{shown} is not a regular file")
        if found.st_size == 0:
            raise InvalidInput(f"{shown} is empty (0 bytes)")
        if found.st_size > MAX_BYTES:
            raise InvalidInput(
                f"{shown} has {found.st_size:,} bytes; at most {MAX_BYTES:,} can be sent"
            )
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: the name holds a NUL character
        raise InvalidInput(f"{shown} {_why_unreadable(path, error)}") from error


def _why_unreadable(path: str, error: Exception) -> str:
    # One slash is enough, as Path("http://...") drops the other. C:/ is a drive, not a scheme.
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/|data:", path):
        return "is a URL; the client does not fetch URLs: pass the file's bytes"
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    return f"cannot be read: {getattr(error, 'strerror', None) or in_words(error)}"


def _from_array(array: np.ndarray) -> Image.Image:
    what = f"{array.dtype} array {list(array.shape)}"
    if array.dtype != np.uint8:
        raise InvalidInput(f"{what} is not an image: give uint8, 0 to 255")
    if array.ndim != 2 and (array.ndim != 3 or array.shape[2] not in (3, 4)):
        raise InvalidInput(
            f"{what} is not an image: give [height, width], [height, width, 3] or "
            "[height, width, 4]; several images as a list"
        )
    if array.size == 0:
        raise InvalidInput(f"{what} has no pixels")
    # Alpha is dropped, as in PIL's convert("RGB").
    return Image.fromarray(np.ascontiguousarray(array[..., :3] if array.ndim == 3 else array))


def _plain(image: Image.Image, resize: Resize, *, exact: bool) -> Tuple[Image.Image, bool]:
    """Return a copy of mode 1, L or RGB, upright and without metadata; and whether it was shrunk.

    A large image is shrunk; with ``exact`` only if this PIL makes exactly the server's pixels.
    """
    what = "the PIL image"
    try:
        what = f"PIL image of mode {image.mode}, {image.width} x {image.height},"
        if image.width == 0 or image.height == 0:
            raise InvalidInput(f"{what} has no pixels")
    except AttributeError as error:  # a subclass may lack a size
        raise InvalidInput(f"{what} cannot be decoded: {in_words(error)}") from error
    try:
        locks = _read_locks.value
        with locks[id(image) // 16 % len(locks)]:  # addresses are multiples of 16
            image = eight_bit(image)
        smaller = resize != NO_RESIZE and is_large(3 * image.width * image.height, resize)
        if smaller and (not exact or resizes_alike(resize)):
            return shrunk_image(image, resize), True
        image = image.copy()
        image.info = {}
        return image, False
    except PixelError as error:
        cause = error.__cause__ if error.reason == "damaged" else None
        words = f"cannot be decoded: {in_words(cause)}" if cause else error
        raise InvalidInput(f"{what} {words}") from error.__cause__ or error
    except MemoryError as error:
        raise InvalidInput(f"{what} cannot be decoded: too little memory") from error


def _is_open(thing: object) -> bool:
    return hasattr(thing, "read") and hasattr(thing, "readline")


def _no_image(thing: object) -> InvalidInput:
    if _is_open(thing):
        return InvalidInput(f"{_kind(thing)} is an open file: give its path, or its bytes, .read()")
    return InvalidInput(f"{_kind(thing)} is not an image: give {ACCEPTED}")


def _kind(thing: object) -> str:
    return "None" if thing is None else f"an object of type {type(thing).__name__}"
