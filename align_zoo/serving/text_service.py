"""UTF-8 strings to unit vectors: the text tower as a served model, without Triton."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from align_zoo.errors import InvalidInput, InvalidText
from align_zoo.factory import load_text_tower

__all__ = ["TextService", "decode_text", "length_chunks"]

_MAX_CHUNK = 64
# Below some 16 tokens a text's own length hardly matters to the time it takes.
_SHORT = 64


class TextService:
    """Decode, tokenize and embed texts, each different one once.

    Args:
        name_or_folder: the checkpoint, as ``create_align`` takes it.
        device: where the tower computes.
        revision: branch, tag or commit of a hub id.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
    """

    input_name = "TEXT"

    def __init__(
        self, name_or_folder: str, *, device: str = "cpu", revision: str | None = None
    ) -> None:
        loaded = load_text_tower(name_or_folder, device=device, revision=revision)
        self._tower, self._tokenizer, temperature, fingerprint = loaded
        self._device = device
        self.constants = {
            "TEMPERATURE": np.array([temperature], dtype=np.float32),
            "CHECKPOINT": np.array([fingerprint.encode()], dtype=np.object_),
        }
        """Outputs [1] that are the same for every item."""

    def embed(self, items: Sequence[bytes]) -> list[np.ndarray | InvalidInput]:
        """One unit vector [D] for each text, or what is wrong with it."""
        texts = [_decoded_or_error(data) for data in items]
        vectors: dict[str, np.ndarray] = {}
        for chunk in length_chunks({text for text in texts if isinstance(text, str)}):
            vectors.update(zip(chunk, self._forward(chunk), strict=True))
        return [vectors[text] if isinstance(text, str) else text for text in texts]

    @torch.inference_mode()
    def _forward(self, texts: list[str]) -> np.ndarray:
        tokens = self._tokenizer(texts).to(self._device)
        embeds = self._tower(tokens["input_ids"], tokens["attention_mask"])
        unit: np.ndarray = F.normalize(embeds.float(), dim=-1).cpu().numpy()
        return unit


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


def length_chunks(texts: set[str]) -> Iterator[list[str]]:
    """Texts sorted by length, in chunks that are worth padding to one length.

    At most 64 texts a chunk, the longest at most twice as long as the shortest or short
    anyway, so that one long text does not make 63 short ones six times as slow.
    """
    chunk: list[str] = []
    for text in sorted(texts, key=lambda text: (len(text), text)):
        if chunk and (len(chunk) == _MAX_CHUNK or len(text) > max(_SHORT, 2 * len(chunk[0]))):
            yield chunk
            chunk = []
        chunk.append(text)
    if chunk:
        yield chunk


def _decoded_or_error(data: bytes) -> str | InvalidInput:
    try:
        return decode_text(data)
    except InvalidText as error:
        return error
