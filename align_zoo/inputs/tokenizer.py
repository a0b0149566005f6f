"""Strings to token ids, by the tokenizer that a checkpoint brings."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import AutoTokenizer, BatchEncoding, PreTrainedTokenizerBase

from align_zoo.errors import CheckpointError, InvalidText
from align_zoo.inputs.strings import check_strings
from align_zoo.torch_state import on_cpu

if TYPE_CHECKING:
    from align_zoo.checkpoint.config import TextConfig

__all__ = ["AlignTokenizer"]

_MAX_LENGTH = 64  # AlignProcessor's, and the length that ALIGN was trained with


_PADDING = ("longest", "max_length", "do_not_pad")
_TENSORS = ("pt", "np")

# transformers sets a call's cut and padding on the tokenizer, which all threads share.
_calling = threading.Lock()


class AlignTokenizer:
    """A checkpoint's WordPiece tokenizer with ALIGN's settings.

    >>> model, transform, tokenizer = align_zoo.create_align("align_tiny")
    >>> tokenizer(["star", "a red circle"])["input_ids"].shape
    torch.Size([2, 5])

    Texts are padded to the longest text of the call. The default padding of AlignProcessor, 64
    tokens, costs up to six times the work and changes no answer.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int = _MAX_LENGTH,
        positions: int | None = None,
    ) -> None:
        """Wrap a tokenizer of transformers.

        Args:
            tokenizer: what is wrapped.
            max_length: the tokens at which a text is cut.
            positions: the positions of the text tower; ``max_length`` by default.
        """
        self.hf = tokenizer
        self.max_length = max_length
        self.positions = positions or max_length

    @classmethod
    def from_folder(cls, folder: Path, config: TextConfig) -> AlignTokenizer:
        """Read the tokenizer of an ALIGN folder.

        Raises:
            CheckpointError: there is no tokenizer, or its vocabulary or its padding id is not
                the text tower's.
        """
        if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
            raise CheckpointError(
                f"{folder} holds no tokenizer: neither tokenizer.json nor vocab.txt; copy its "
                "files from the checkpoint that the model was trained from"
            )
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # transformers' parsers raise errors of many kinds
            raise CheckpointError(f"{folder}: its tokenizer cannot be read: {error}") from error
        if len(tokenizer) > config.vocab_size:
            raise CheckpointError(
                f"{folder}: the tokenizer has {len(tokenizer)} tokens, but "
                f"text_config.vocab_size is {config.vocab_size}"
            )
        if tokenizer.pad_token_id != config.pad_token_id:
            raise CheckpointError(
                f"{folder}: the tokenizer pads with id {tokenizer.pad_token_id}, but "
                f"text_config.pad_token_id is {config.pad_token_id}"
            )
        # A tokenizer without a limit of its own reports a huge number.
        return cls(
            tokenizer,
            min(tokenizer.model_max_length, _MAX_LENGTH, config.max_position_embeddings),
            config.max_position_embeddings,
        )

    def __call__(
        self,
        texts: str | Sequence[str],
        *,
        padding: str = "longest",
        max_length: int | None = None,
        return_tensors: str = "pt",
    ) -> BatchEncoding:
        """Compute ``input_ids`` and ``attention_mask`` [N, L] of one or more texts.

        Args:
            texts: a string or several; a text longer than ``max_length`` is cut.
            padding: to the "longest" text, to "max_length", or "do_not_pad".
            max_length: in tokens; by default 64, or fewer if the checkpoint says so.
            return_tensors: "pt" for torch, "np" for numpy.

        Raises:
            InvalidText: there is no text, a text is no string, an option's value is not
                supported, or texts of different lengths are not padded.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        if not texts:
            raise InvalidText("there is no text to tokenize")
        check_strings(texts)
        _check("padding", padding, _PADDING)
        _check("return_tensors", return_tensors, _TENSORS)
        shortest = self.hf.num_special_tokens_to_add()
        if max_length is None:
            max_length = self.max_length
        elif type(max_length) is not int or not shortest <= max_length <= self.positions:
            raise InvalidText(
                f"max_length is {max_length!r}; supported: {shortest} to {self.positions}"
            )
        with _calling:
            encoding = self.hf(
                texts,
                padding=padding,
                truncation=True,
                max_length=max_length,
                return_token_type_ids=False,
            )
        if len({len(ids) for ids in encoding["input_ids"]}) > 1:
            raise InvalidText(
                "padding is 'do_not_pad', but the texts differ in length: pad them, or "
                "tokenize them one by one"
            )
        with on_cpu():  # as the images are, with any default device
            return encoding.convert_to_tensors(return_tensors)

    def save(self, folder: Path) -> None:
        """Write transformers' files, without the cut and the padding of the last call."""
        with _calling:
            self.hf.backend_tokenizer.no_truncation()
            self.hf.backend_tokenizer.no_padding()
            self.hf.save_pretrained(folder)


def _check(name: str, value: object, supported: Sequence[str]) -> None:
    if value not in supported:
        raise InvalidText(f"{name} is {value!r}; supported: {', '.join(supported)}")
