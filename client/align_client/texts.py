"""Checks texts, fills templates, splits texts into requests, and caches rows of texts."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Union

from align_client.answers import Row
from align_client.errors import InvalidInput

__all__ = ["TextCache", "Texts", "checked_texts", "chunks", "filled", "judged_texts"]

Texts = Union[str, Iterable[str]]
"""One text or several texts."""

_CHARACTERS = 8_000_000
"""The most characters in one request: at most 32 MB, half of what a request may hold."""


def checked_texts(texts: Iterable[str], noun: str) -> List[str]:
    """Return the texts as a list.

    Args:
        texts: any iterable of strings; duplicates are kept.
        noun: the caller's word for a text, for messages.

    Raises:
        InvalidInput: there are no texts, or a text is not a string, is blank, or cannot be
            encoded in UTF-8.
    """
    checked: List[str] = []
    for text in judged_texts(texts, noun):
        if isinstance(text, InvalidInput):
            raise text
        checked.append(text)
    return checked


def judged_texts(texts: Iterable[str], noun: str) -> List[Union[str, InvalidInput]]:
    """Return the texts as a list, with the error of a bad text in its place.

    Raises:
        InvalidInput: there are no texts.
    """
    if isinstance(texts, (str, bytes)) or not _iterable(texts):
        raise InvalidInput(f"{noun}s must be a sequence of str, not {_kind(texts)}")
    judged = [_judged(text, noun, i) for i, text in enumerate(texts)]
    if not judged:
        raise InvalidInput(f"no {noun}s: at least one is needed")
    return judged


def filled(template: str, labels: Sequence[str]) -> List[str]:
    """Return the template with each label in the place of ``{}``; other braces are kept.

    Raises:
        InvalidInput: the template does not contain ``{}`` exactly once.
    """
    if not isinstance(template, str):
        raise InvalidInput(f"template must be a str, not {_kind(template)}")
    if template.count("{}") != 1:
        raise InvalidInput(
            f"template must contain {{}} exactly once, in the label's place; got {template[:200]!r}"
        )
    if problem := _unencodable(template):
        raise InvalidInput(f"template {problem}")
    return [template.replace("{}", label) for label in labels]


def chunks(texts: Iterable[str], size: int) -> List[List[str]]:
    """Split the texts, in order, into requests of at most ``size`` texts that are not too large."""
    parts: List[List[str]] = []
    room = 0
    for text in texts:
        room -= len(text)
        if not parts or room < 0 or len(parts[-1]) == size:
            parts.append([])
            room = _CHARACTERS - len(text)
        parts[-1].append(text)
    return parts


class TextCache:
    """A cache of the most recently used texts and their rows. Threads may share a cache.

    The checkpoint is part of the key. So a text's vector is never compared with an image's
    vector of another checkpoint, even if the server loads another checkpoint in between.

    Args:
        size: the number of texts kept; 0 keeps none. Each takes about 4 D bytes.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._rows: OrderedDict[tuple[str, str], Row] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, checkpoint: str, texts: Iterable[str]) -> Dict[str, Row]:
        """Return the rows that this checkpoint computed of the texts, as far as they are cached."""
        found: Dict[str, Row] = {}
        with self._lock:
            for text in texts:
                key = checkpoint, text
                row = self._rows.get(key)
                if row is not None:
                    self._rows.move_to_end(key)
                    found[text] = row
        return found

    def keep(self, rows: Mapping[str, Row]) -> None:
        """Store the rows; drop the least recently used rows beyond the cache's size."""
        with self._lock:
            for text, row in rows.items():
                # A copy: the vector is a view, which would keep its whole response in memory.
                self._rows[row.checkpoint, text] = row._replace(vector=row.vector.copy())
                self._rows.move_to_end((row.checkpoint, text))
            while len(self._rows) > self._size:
                self._rows.popitem(last=False)


def _judged(text: object, noun: str, i: int) -> Union[str, InvalidInput]:
    if not isinstance(text, str):
        return InvalidInput(f"{noun} {i} must be a str, not {_kind(text)}")
    if not text.strip():
        return InvalidInput(f"{noun} {i} is {'blank' if text else 'empty'}")
    problem = _unencodable(text)
    return InvalidInput(f"{noun} {i} {problem}") if problem else text


def _iterable(thing: object) -> bool:
    # Arrays without a dimension count as Iterable, too.
    return isinstance(thing, Iterable) and getattr(thing, "ndim", 1) > 0


def _unencodable(text: str) -> Optional[str]:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"holds a lone surrogate at character {error.start}, which UTF-8 cannot encode"
    return None


def _kind(thing: object) -> str:
    return "None" if thing is None else type(thing).__name__
