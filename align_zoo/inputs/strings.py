"""Whether what shall be tokenized is text at all."""

from __future__ import annotations

from collections.abc import Iterable

from align_zoo.errors import InvalidText

__all__ = ["check_strings", "is_utf8"]


def is_utf8(text: str) -> bool:
    """Whether a tokenizer can read it: half a surrogate pair, as of a file's name, it cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_strings(texts: Iterable[object]) -> None:
    """Refuse what the tokenizer cannot read.

    Raises:
        InvalidText: one is no string, or cannot be written in UTF-8; the message says which.
    """
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidText(f"text {i} is a {type(text).__name__}, not a string")
        if not is_utf8(text):
            raise InvalidText(f"text {i}, {text[:100]!r}, cannot be written in UTF-8")
