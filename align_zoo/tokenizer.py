"""Strings to token ids, by the tokenizer that a checkpoint brings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import AutoTokenizer, BatchEncoding, PreTrainedTokenizerBase

from align_zoo.errors import CheckpointError, InvalidText

if TYPE_CHECKING:
    from align_zoo.config import TextConfig

__all__ = ["AlignTokenizer"]

_MAX_LENGTH = 64  # AlignProcessor's, and the length that ALIGN was trained with


class AlignTokenizer:
    """A checkpoint's WordPiece tokenizer with ALIGN's settings.

    Pads to the longest text of the call: the padding of AlignProcessor's default (64) costs
    up to six times the work and changes no answer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int = _MAX_LENGTH) -> None:
        self.hf = tokenizer
        self.max_length = max_length

    @classmethod
    def from_folder(cls, folder: Path, config: TextConfig) -> AlignTokenizer:
        """The tokenizer of an ALIGN folder.

        Raises:
            CheckpointError: there is none, or its vocabulary is larger than the text tower's.
        """
        if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
            raise CheckpointError(
                f"{folder} holds no tokenizer: neither tokenizer.json nor vocab.txt"
            )
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # transformers raises whatever its parsers meet
            raise CheckpointError(f"{folder}: its tokenizer cannot be read: {error}") from error
        if len(tokenizer) > config.vocab_size:
            raise CheckpointError(
                f"{folder}: the tokenizer has {len(tokenizer)} tokens, but "
                f"text_config.vocab_size is {config.vocab_size}"
            )
        # A tokenizer without a limit of its own reports a huge number.
        return cls(
            tokenizer,
            min(tokenizer.model_max_length, _MAX_LENGTH, config.max_position_embeddings),
        )

    def __call__(self, texts: str | Sequence[str]) -> BatchEncoding:
        """``input_ids`` and ``attention_mask`` [N, L] of one or more texts, cut at 64 tokens.

        Raises:
            InvalidText: no text at all, or something that is no string.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        if not texts:
            raise InvalidText("there is no text to tokenize")
        for i, text in enumerate(texts):
            if not isinstance(text, str):
                raise InvalidText(f"text {i} is a {type(text).__name__}, not a string")
        return self.hf(
            texts,
            padding="longest",
            truncation=True,
            max_length=self.max_length,
            return_token_type_ids=False,
            return_tensors="pt",
        )
