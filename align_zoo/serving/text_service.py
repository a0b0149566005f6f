"""UTF-8 strings to unit vectors: the text tower as a served model, without Triton."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from align_zoo.errors import InvalidInput, InvalidText
from align_zoo.runtime.encoder import Encoder
from align_zoo.serving.recent import Recent

__all__ = ["TextService", "decode_text"]

_REMEMBERED = 20_000
"""Strings whose vectors are kept: 50 MB at 640 dimensions."""


class TextService:
    """Decode, tokenize and embed texts, each different one once, and remember them.

    Args:
        encoder: the checkpoint in a runtime; its text tower is loaded here.

    Raises:
        CheckpointError: the tower cannot be loaded.
    """

    input_name = "TEXT"

    def __init__(self, encoder: Encoder) -> None:
        self._tower, self._texts = encoder.text, encoder.texts
        self._known = Recent(_REMEMBERED)
        self.constants = {
            "TEMPERATURE": np.array([encoder.temperature], dtype=np.float32),
            "CHECKPOINT": np.array([encoder.fingerprint.encode()], dtype=np.object_),
            "RUNTIME": np.array([encoder.explanation.encode()], dtype=np.object_),
        }
        """Outputs [1] that are the same for every item."""

    def embed(self, items: Sequence[bytes]) -> list[np.ndarray | InvalidInput]:
        """One unit vector [D] for each text, or what is wrong with it."""
        texts = [_decoded_or_error(data) for data in items]
        sound = {text for text in texts if isinstance(text, str)}
        vectors = self._known.find(sound)
        if new := sorted(sound - vectors.keys()):
            computed = dict(zip(new, self._texts.embed(new, self._tower), strict=True))
            self._known.keep(computed)
            vectors |= computed
        return [vectors[text] if isinstance(text, str) else text for text in texts]


def decode_text(data: bytes) -> str:
    """The string that UTF-8 bytes stand for.

    Raises:
        InvalidText: not UTF-8, empty, or nothing but blanks and control characters, which
            BERT's tokenizer drops: its embedding would mean nothing.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidText(f"the text is not UTF-8 (byte {error.start})") from None
    if not text:
        raise InvalidText("the text is empty")
    if not any(char.isprintable() and not char.isspace() for char in text):
        raise InvalidText("the text is blank")
    return text


def _decoded_or_error(data: bytes) -> str | InvalidInput:
    try:
        return decode_text(data)
    except InvalidText as error:
        return error
