"""Lists of the images and texts that a caller gives, and errors that name them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Union, cast

from PIL import Image

from align_zoo.errors import InvalidImage, InvalidInput, InvalidText
from align_zoo.inputs.strings import check_strings
from align_zoo.runtime.images import ImageLike

__all__ = ["Images", "Texts", "as_images", "as_texts", "keeps_errors"]

Images = Union[ImageLike, Iterable[ImageLike]]
"""An image or several."""
Texts = Union[str, Iterable[str]]
"""A text or several."""


def as_images(images: Images) -> tuple[list[ImageLike], bool]:
    """List the images, unchecked, and return whether several were given.

    Raises:
        InvalidImage: there is no image, or the argument is neither an image nor images.
    """
    if isinstance(images, str | os.PathLike | bytes | Image.Image):
        return [images], False
    if hasattr(images, "read") and hasattr(images, "readline"):
        raise InvalidImage(
            f"a {type(images).__name__} is an open file; give its path, or its bytes, .read()"
        )
    several = _several(images)
    if not several:
        raise InvalidImage(
            f"{'there are no images' if several == [] else _kind(images)}; give an image or a "
            "list of at least one: paths, encoded files (bytes) or PIL images"
        )
    return several, True


def as_texts(texts: Texts) -> list[str]:
    """List the texts.

    Raises:
        InvalidText: there is no text, or a text is no string; the message names it.
    """
    several: list[Any] | None = [texts] if isinstance(texts, str) else _several(texts)
    if not several:
        raise InvalidText(
            f"{'there are no texts' if several == [] else _kind(texts)}; give a string or a list "
            "of at least one string"
        )
    check_strings(several)
    return several


def keeps_errors(on_error: str) -> bool:
    """Return whether an image's error takes the place of its answer.

    Raises:
        InvalidInput: ``on_error`` is neither "raise" nor "return".
    """
    if on_error not in ("raise", "return"):
        raise InvalidInput(f"on_error is {on_error!r}; supported: 'raise', 'return'")
    return on_error == "return"


def _several(things: object) -> list[Any] | None:
    """List the things; None if they have no meaningful order."""
    # Arrays without a dimension are Iterable, but cannot be iterated.
    iterable = isinstance(things, Iterable) and getattr(things, "ndim", 1) > 0
    if isinstance(things, bytes | Mapping | set) or not iterable:
        return None
    return list(cast(Iterable[Any], things))


def _kind(thing: object) -> str:
    return f"{'None' if thing is None else 'a ' + type(thing).__name__} was given"
