"""UTF-8 strings to unit vectors: the text tower as a served model, without Triton."""

from __future__ import annotations

import re
import unicodedata
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from align_zoo.errors import InvalidInput, InvalidText
from align_zoo.runtime.encoder import Encoder
from align_zoo.serving.model.answer import Answer
from align_zoo.serving.model.outputs import provenance

__all__ = ["MAX_CHARACTERS", "Counted", "Recent", "TextService", "decode_text"]

MAX_CHARACTERS = 10_000
"""The most characters in the first 64 words of a longer text: the tokenizer takes up to 25 ms."""
_TOKENS = 64
"""The most tokens that count; a word gives one or more."""
_DROPPED = frozenset(["Cc", "Cf", "Co", "Cs", "Mn", "Zl", "Zp", "Zs"])
"""What BERT's normalizer drops: controls, formats, private letters, accents and blanks."""
_DROPPED_TOO = "\ufffd\u1734"
"""The replacement character, and an accent that Unicode has moved to another category since."""
_WORD = re.compile(r"[^ \t\r\n]+")
_REMEMBERED = 20_000
"""The most strings whose vectors are kept: 50 MB at 640 dimensions."""
_LONGEST_REMEMBERED = 1_000
"""The most characters of a kept string: all kept strings take at most 80 MB."""


class Counted(NamedTuple):
    """What is kept of a text."""

    vector: np.ndarray
    """The unit vector [D]."""
    tokens: int
    """The number of tokens that the tower read."""


class TextService:
    """Decodes, tokenizes and embeds texts, each different text once, and remembers the vectors.

    >>> service = TextService(load_encoder("align_tiny", only="text"))
    >>> vectors = service.embed([b"a photo of a star"])

    Args:
        encoder: the checkpoint in a runtime; the text tower is loaded here.

    Raises:
        CheckpointError: the tower cannot be loaded.
    """

    input_name = "TEXT"
    reasons: tuple[str, ...] = ("empty", "blank", "not_utf8", "too_long")
    """The reasons why a text may be refused."""

    def __init__(self, encoder: Encoder) -> None:
        self._tower, self._texts = encoder.text, encoder.texts
        self._known = Recent(_REMEMBERED, longest=_LONGEST_REMEMBERED)
        self._answered: dict[str, Counted] = {}
        """The texts answered since the begin of the last batch."""
        self.counts = {"text_cache_hits": 0, "text_cache_misses": 0}
        """The number of different texts whose vector was remembered, or had to be computed."""
        self.slowdown = encoder.slowdown("text")
        """The time of a text divided by the time on the fastest path, about."""
        self.width = encoder.vision.embedding_dim
        """The width of the embeddings."""
        self.constants = {
            "TEMPERATURE": np.array([encoder.temperature], dtype=np.float32),
            **provenance(encoder),
        }
        """The outputs [1] that are the same for every item."""

    def embed(self, items: Sequence[bytes]) -> list[Answer]:
        """Return one unit vector [D], or one error, for each text."""
        texts = [_decoded_or_error(data) for data in items]
        sound = {text for text in texts if isinstance(text, str)}
        answered = self._known.find(sound)
        self.counts["text_cache_hits"] += len(answered)
        if new := sorted(sound - answered.keys()):
            rows = map(Counted, *self._texts.embed_counted(new, self._tower))
            computed = dict(zip(new, rows, strict=True))
            self.counts["text_cache_misses"] += len(computed)
            self._known.keep(computed)
            answered |= computed
        self._answered |= answered
        return [answered[text].vector if isinstance(text, str) else text for text in texts]

    def beside(self, items: Sequence[bytes]) -> dict[str, np.ndarray]:
        """Return the output TOKENS [N, 1] of texts that the last batch has answered.

        A text that cannot be used has 0 tokens.
        """
        texts = map(_decoded_or_error, items)
        tokens = [self._answered[text].tokens if isinstance(text, str) else 0 for text in texts]
        return {"TOKENS": np.array(tokens, dtype=np.int32)[:, None]}

    def features(self, items: Sequence[bytes]) -> list[list[Answer]]:
        """Do as ``portions``: a text has no feature map, and no such output."""
        return self.portions(items)

    def portions(self, items: Sequence[bytes]) -> list[list[Answer]]:
        """Return the same answers in one portion: texts of all lengths are computed together."""
        self._answered = {}
        return [self.embed(items)]


class Recent:
    """Keeps the vectors of the most recently used strings. For one thread.

    >>> recent = Recent(20_000, longest=1_000)
    >>> recent.keep({"a star": Counted(vector, tokens=3)})
    >>> recent.find(["a star", "a circle"]).keys()
    dict_keys(['a star'])

    Args:
        size: the most entries.
        longest: the most characters of a key; entries with longer keys are not kept, so that the
            memory has a bound.
    """

    def __init__(self, size: int, *, longest: int) -> None:
        self._size, self._longest = size, longest
        self._entries: OrderedDict[str, Counted] = OrderedDict()

    def find(self, keys: Iterable[str]) -> dict[str, Counted]:
        """Return the kept entries of ``keys``."""
        found = {key: self._entries[key] for key in keys if key in self._entries}
        for key in found:
            self._entries.move_to_end(key)
        return found

    def keep(self, entries: Mapping[str, Counted]) -> None:
        """Add entries, and drop the least recently used entries beyond the bound."""
        # Copies: a vector is a view that would keep its whole batch alive.
        self._entries.update(
            {
                text: Counted(vector.copy(), tokens)
                for text, (vector, tokens) in entries.items()
                if len(text) <= self._longest
            }
        )
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)


def decode_text(data: bytes) -> str:
    """Decode UTF-8 bytes to a string; cut a long string to the words that count.

    Raises:
        InvalidText: the bytes are not UTF-8 or are empty; the text has only blanks, control
            characters and accents, which BERT's tokenizer drops, so that the embedding would mean
            nothing; or the first 64 words are longer than ``MAX_CHARACTERS``.
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
    """Return enough words for all tokens that count; the tokenizer would read the rest in vain.

    Words are split only at blanks that split words for every tokenizer.
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
    """Return whether the tokenizer keeps the character; unassigned characters count, too."""
    return unicodedata.category(char) not in _DROPPED and char not in _DROPPED_TOO


def _decoded_or_error(data: bytes) -> str | InvalidInput:
    try:
        return decode_text(data)
    except InvalidText as error:
        return error
