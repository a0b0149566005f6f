"""Checks of the strings that a tokenizer gets."""

from __future__ import annotations

from collections.abc import Iterable

from align_zoo.errors import InvalidText

__all__ = ["check_strings", "is_utf8"]


def is_utf8(text: str) -> bool:
    """Return whether a text can be written in UTF-8; file names may hold half surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_strings(texts: Iterable[object]) -> None:
    """Refuse texts that the tokenizer cannot read.

    Raises:
        InvalidText: a text is no string, or cannot be written in UTF-8; the message names it.
    """
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidText(f"text {i} is a {type(text).__name__}, not a string")
        if not is_utf8(text):
            raise InvalidText(f"text {i}, {text[:100]!r}, cannot be written in UTF-8")
