"""The exceptions of align-zoo: each says what is wrong, where, and the way out."""

from __future__ import annotations

import re
import shlex

__all__ = [
    "AlignZooError",
    "CheckpointError",
    "InvalidImage",
    "InvalidInput",
    "InvalidText",
    "reason_of",
    "to_install",
]


def to_install(project: str) -> str:
    """Name the command that installs ``project``: "./client", or an extra as ".[server]".

    Neither package is on an index, so the command works in a checkout only.
    """
    return f"run `{shlex.join(['pip', 'install', project])}` in a checkout of align-zoo"


class AlignZooError(Exception):
    """Base of every exception that align-zoo raises on purpose.

    >>> try:
    ...     encoder = align_zoo.load_encoder("no/such-folder")
    ... except align_zoo.AlignZooError as error:
    ...     print("cannot load:", type(error).__name__)
    cannot load: CheckpointError
    """


class CheckpointError(AlignZooError, ValueError):
    """A checkpoint is absent, damaged, incomplete or asks for something unsupported.

    >>> align_zoo.create_align("/no/such/folder")
    Traceback (most recent call last):
    align_zoo.errors.CheckpointError: /no/such/folder does not exist

    The message names the file and the key or field. Nothing has been loaded: repair the
    folder, or point at another one.
    """


class InvalidInput(AlignZooError, ValueError):
    """An input or an argument cannot be used; other inputs are not affected.

    >>> align_zoo.load_encoder("align_tiny", runtime="onxn")
    Traceback (most recent call last):
    align_zoo.errors.InvalidInput: there is no runtime 'onxn'; there are auto, onnx, torch
    """

    def __init__(self, message: str, reason: str = "invalid") -> None:
        super().__init__(message)
        self.reason = reason
        """The kind of fault, one of a few fixed words, for counting; the message is for people."""


class InvalidImage(InvalidInput):
    """The bytes are not an image that align-zoo accepts.

    >>> encoder = align_zoo.load_encoder("align_tiny")
    >>> (answer,) = encoder.embed_images([b"no image"], on_error="return")
    >>> answer.reason
    'format'

    Reasons of ``decode_image``: "empty", "too_many_bytes", "too_many_pixels", "too_many_parts"
    (chunks, segments, strips, scans, boxes), "format", "no_decoder", "damaged".
    """


class InvalidText(InvalidInput):
    """The text cannot be embedded.

    >>> encoder = align_zoo.load_encoder("align_tiny")
    >>> encoder.embed_texts(["a red star", 7])
    Traceback (most recent call last):
    align_zoo.errors.InvalidText: text 1 is a int, not a string

    Reasons of a served text: "empty", "blank", "not_utf8", "too_long".
    """


# The first that fits decides.
_REASONS = {
    "empty": r"is empty",
    "blank": r"is blank",
    "not_utf8": r"is not UTF-8",
    "too_long": r"first \d+ words have more than",
    "too_small": r"is smaller than the crop|takes sides of",
    "no_decoder": r"needs the extra|needs a Pillow",
    "damaged": r"damaged|cannot be decoded",
    "too_many_pixels": r"[\d,]+ pixels",
    "too_many_bytes": r"[\d,]+ bytes",
    "too_many_parts": r"has more than [\d,]+ \w+",
    "format": r"not an image|compressed by|not supported|no defined range",
}


def reason_of(message: str) -> str | None:
    """Return the reason of an :class:`InvalidInput` whose message alone is known.

    Triton carries the message of a served model's error, and nothing else of it. None if the
    message is of another error.
    """
    found = (reason for reason, words in _REASONS.items() if re.search(words, message))
    return next(found, None)
