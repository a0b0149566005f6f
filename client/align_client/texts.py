"""Texts before they are sent (checked, put into a template), and the ones already embedded."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Union

from align_client.answers import Row
from align_client.errors import InvalidInput

__all__ = ["TextCache", "Texts", "checked_texts", "chunks", "filled", "judged_texts"]

Texts = Union[str, Iterable[str]]
"""One or several."""

_CHARACTERS = 8_000_000
"""Of one request; 32 MB at most, half of what it may carry."""


def checked_texts(texts: Iterable[str], noun: str) -> List[str]:
    """The texts as a list.

    Args:
        texts: any iterable of strings; duplicates are kept.
        noun: what the caller calls one of them, for messages.

    Raises:
        InvalidInput: none at all, or one that is no string, blank, or not UTF-8's to encode.
    """
    checked: List[str] = []
    for text in judged_texts(texts, noun):
        if isinstance(text, InvalidInput):
            raise text
        checked.append(text)
    return checked


def judged_texts(texts: Iterable[str], noun: str) -> List[Union[str, InvalidInput]]:
    """The texts as a list, as :func:`checked_texts` does; in place of a bad one its error.

    Raises:
        InvalidInput: there are none at all.
    """
    if isinstance(texts, (str, bytes)) or not _iterable(texts):
        raise InvalidInput(f"{noun}s must be a sequence of str, not {_kind(texts)}")
    judged = [_judged(text, noun, i) for i, text in enumerate(texts)]
    if not judged:
        raise InvalidInput(f"no {noun}s: at least one is needed")
    return judged


def filled(template: str, labels: Sequence[str]) -> List[str]:
    """The template with each label in the place of ``{}``; other braces stay as they are.

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
    """The texts in order, at most ``size`` together, and no more than a request may carry."""
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
    """The texts used last and their answers, for each checkpoint of its own.

    The checkpoint is part of the key, so that a vector is never compared with a picture's from
    another checkpoint, whatever the server loads meanwhile. Safe to share between threads.

    Args:
        size: the number of texts kept; 0 keeps none. A text costs some 4 D bytes.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._rows: OrderedDict[tuple[str, str], Row] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, checkpoint: str, texts: Iterable[str]) -> Dict[str, Row]:
        """Those of the texts that are here, with this checkpoint's answers."""
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
        """Keep these answers, if need be in the place of those not used for longest."""
        with self._lock:
            for text, row in rows.items():
                # A copy: the vector is a view that would keep its whole response alive.
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
    # Arrays without a dimension say that they are, too.
    return isinstance(thing, Iterable) and getattr(thing, "ndim", 1) > 0


def _unencodable(text: str) -> Optional[str]:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"holds a lone surrogate at character {error.start}, which is no text"
    return None


def _kind(thing: object) -> str:
    return "None" if thing is None else type(thing).__name__
