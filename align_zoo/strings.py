"""Whether what shall be tokenized is text at all."""

from __future__ import annotations

from collections.abc import Iterable

from align_zoo.errors import InvalidText

__all__ = ["check_strings"]


def check_strings(texts: Iterable[object]) -> None:
    """Refuse what the tokenizer cannot read.

    Raises:
        InvalidText: one is no string, or holds half a character; the message says which.
    """
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidText(f"text {i} is a {type(text).__name__}, not a string")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidText(
                f"text {i} is not Unicode: its character {error.start} is half of one (a surrogate)"
            ) from None
