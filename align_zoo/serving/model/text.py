"""UTF-8 strings to unit vectors: the text tower as a served model, without Triton."""

from __future__ import annotations

import re
import unicodedata
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from align_zoo.errors import InvalidInput, InvalidText
from align_zoo.runtime.encoder import Encoder
from align_zoo.serving.model.answer import Answer
from align_zoo.serving.model.outputs import provenance

__all__ = ["MAX_CHARACTERS", "Recent", "TextService", "decode_text"]

MAX_CHARACTERS = 10_000
"""Of the first 64 words of a longer text: the tokenizer takes up to 25 ms for them."""
_TOKENS = 64
"""How many count, at most; a word gives one or more."""
_DROPPED = frozenset(["Cc", "Cf", "Co", "Cs", "Mn", "Zl", "Zp", "Zs"])
"""Controls, formats, private letters, accents and blanks: what BERT's normalizer leaves out."""
_DROPPED_TOO = "\ufffd\u1734"
"""The mark of a lost letter, and an accent that Unicode has moved to another category since."""
_WORD = re.compile(r"[^ \t\r\n]+")
_REMEMBERED = 20_000
"""Strings whose vectors are kept: 50 MB at 640 dimensions."""
_LONGEST_REMEMBERED = 1_000
"""Characters: with the number of strings, at most 80 MB of them."""


class TextService:
    """Decode, tokenize and embed texts, each different one once, and remember them.

    Args:
        encoder: the checkpoint in a runtime; its text tower is loaded here.

    Raises:
        CheckpointError: the tower cannot be loaded.
    """

    input_name = "TEXT"
    reasons: tuple[str, ...] = ("empty", "blank", "not_utf8", "too_long")
    """Why a text may be refused."""

    def __init__(self, encoder: Encoder) -> None:
        self._tower, self._texts = encoder.text, encoder.texts
        self._known = Recent(_REMEMBERED, longest=_LONGEST_REMEMBERED)
        self.counts = {"text_cache_hits": 0, "text_cache_misses": 0}
        """Different texts of a call whose vector was remembered, or had to be computed."""
        self.slowdown = encoder.slowdown("text")
        """How many times as long as it could a text takes, about."""
        self.constants = {
            "TEMPERATURE": np.array([encoder.temperature], dtype=np.float32),
            **provenance(encoder),
        }
        """Outputs [1] that are the same for every item."""

    def embed(self, items: Sequence[bytes]) -> list[Answer]:
        """One unit vector [D] for each text, or what is wrong with it."""
        texts = [_decoded_or_error(data) for data in items]
        sound = {text for text in texts if isinstance(text, str)}
        vectors = self._known.find(sound)
        self.counts["text_cache_hits"] += len(vectors)
        if new := sorted(sound - vectors.keys()):
            computed = dict(zip(new, self._texts.embed(new, self._tower), strict=True))
            self.counts["text_cache_misses"] += len(computed)
            self._known.keep(computed)
            vectors |= computed
        return [vectors[text] if isinstance(text, str) else text for text in texts]

    def portions(self, items: Sequence[bytes]) -> list[list[Answer]]:
        """The same in one portion: texts of all lengths are computed together."""
        return [self.embed(items)]


class Recent:
    """Keeps the vectors of the strings that were asked for most recently.

    For one thread, as a served model has it.

    Args:
        size: how many.
        longest: characters of a key, at most; entries with longer ones are not kept, so that
            what is kept has a bound in bytes, too.
    """

    def __init__(self, size: int, *, longest: int) -> None:
        self._size, self._longest = size, longest
        self._entries: OrderedDict[str, np.ndarray] = OrderedDict()

    def find(self, keys: Iterable[str]) -> dict[str, np.ndarray]:
        """Those of ``keys`` that are kept."""
        found = {key: self._entries[key] for key in keys if key in self._entries}
        for key in found:
            self._entries.move_to_end(key)
        return found

    def keep(self, entries: Mapping[str, np.ndarray]) -> None:
        """Add entries; the least recently used go."""
        # Copies: a vector is a view that would keep its whole batch alive.
        self._entries.update({k: v.copy() for k, v in entries.items() if len(k) <= self._longest})
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)


def decode_text(data: bytes) -> str:
    """The string that UTF-8 bytes stand for; of a long one the words that count.

    Raises:
        InvalidText: not UTF-8, empty, or nothing but blanks, control characters and accents,
            which BERT's tokenizer drops: its embedding would mean nothing. Or 64 words that are
            longer than ``MAX_CHARACTERS``.
    """
    if not data:
        raise InvalidText("the text is empty", "empty")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidText(f"the text is not UTF-8 (byte {error.start})", "not_utf8") from None
    if len(text) > MAX_CHARACTERS:
        text = _first_words(text)
    if not any(map(_counts, text)):
        raise InvalidText("the text is blank", "blank")
    return text


def _first_words(text: str) -> str:
    """Enough words for all tokens that count; the tokenizer would read the others in vain.

    They are divided only by what divides words for every tokenizer.
    """
    words: list[str] = []
    size, counting = -1, 0  # no blank before the first
    for match in _WORD.finditer(text):
        size += len(match[0]) + 1
        if size > MAX_CHARACTERS:
            raise InvalidText(
                f"the text's first {_TOKENS} words have more than {MAX_CHARACTERS:,} characters; "
                "put blanks between words, or shorten it",
                "too_long",
            )
        words.append(match[0])
        counting += any(map(_counts, match[0]))
        if counting == _TOKENS:
            break
    return " ".join(words)


def _counts(char: str) -> bool:
    """Whether the tokenizer makes something of it; also what this Python has no name for yet."""
    return unicodedata.category(char) not in _DROPPED and char not in _DROPPED_TOO


def _decoded_or_error(data: bytes) -> str | InvalidInput:
    try:
        return decode_text(data)
    except InvalidText as error:
        return error
