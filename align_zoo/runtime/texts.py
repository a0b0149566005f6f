"""Strings to padded token ids, and through a tower: each once, among strings of its length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from tokenizers import Tokenizer

from align_zoo.runtime.lengths import cheapest_chunks

__all__ = ["TextBatcher"]

_TOKENIZED_AT_ONCE = 4096
"""Texts: beside its ids the tokenizer tells much more of each, 6 kB of a long label."""


class TextBatcher:
    """Embeds strings in chunks that are worth padding to one length.

    Args:
        tokenizer: the checkpoint's; it is changed to cut and not to pad.
        max_length: tokens of a text, at most.
        pad_token_id: what shorter texts are filled up with.
        at_once: texts through the tower at a time.
        padding_a_call: a call of the tower costs as much as so many tokens of padding.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        max_length: int,
        pad_token_id: int,
        *,
        at_once: int,
        padding_a_call: int,
    ) -> None:
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length)
        self._tokenizer, self._pad = tokenizer, pad_token_id
        self._at_once, self._padding_a_call = at_once, padding_a_call

    def embed(
        self, texts: Sequence[str], tower: Callable[[np.ndarray, np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Unit rows [N, D] of N > 0 texts; a text that occurs twice is computed once."""
        unique = list(dict.fromkeys(texts))
        tokens = list(self._tokens(unique))
        rows: dict[str, np.ndarray] = {}
        chunks = cheapest_chunks(
            [*map(len, tokens)], at_once=self._at_once, padding_a_call=self._padding_a_call
        )
        for chunk in reversed(chunks):  # the largest first: the others fit into its memory
            embeds = tower(*self._pad_to_longest([tokens[i] for i in chunk]))
            rows.update(zip((unique[i] for i in chunk), embeds, strict=True))
        return np.stack([rows[text] for text in texts])

    def _tokens(self, texts: Sequence[str]) -> Iterator[list[int]]:
        for i in range(0, len(texts), _TOKENIZED_AT_ONCE):
            for encoding in self._tokenizer.encode_batch(texts[i : i + _TOKENIZED_AT_ONCE]):
                yield encoding.ids

    def _pad_to_longest(self, tokens: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
        """Token ids and mask [N, L], int64."""
        longest = max(map(len, tokens))
        ids = np.full((len(tokens), longest), self._pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, each in enumerate(tokens):
            ids[row, : len(each)] = each
            mask[row, : len(each)] = 1
        return ids, mask
