"""The exceptions of align-zoo: each says what is wrong, where, and the way out."""

from __future__ import annotations

__all__ = ["AlignZooError", "CheckpointError", "InvalidImage", "InvalidInput", "InvalidText"]


class AlignZooError(Exception):
    """Base of every exception that align-zoo raises on purpose."""


class CheckpointError(AlignZooError, ValueError):
    """A checkpoint is absent, damaged, incomplete or asks for something unsupported.

    The message names the file and the key or field. Nothing has been loaded: repair the
    folder, or point at another one.
    """


class InvalidInput(AlignZooError, ValueError):
    """One input (a picture, a string) cannot be used; the others are unaffected."""


class InvalidImage(InvalidInput):
    """The bytes are not a picture that align-zoo accepts."""


class InvalidText(InvalidInput):
    """The text cannot be embedded."""
