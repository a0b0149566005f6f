"""Strings to padded token ids, and through a tower: each text once, beside texts of its length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np
from tokenizers import Tokenizer

__all__ = ["TextBatcher", "cheapest_chunks"]

_TOKENIZED_AT_ONCE = 4096
"""The most texts in a call of the tokenizer, whose answer takes 6 kB for a long label."""


class TextBatcher:
    """Embeds strings in chunks whose texts are padded to one length.

    Args:
        tokenizer: the checkpoint's; the batcher sets it to truncate and not to pad.
        max_length: the most tokens of a text.
        pad_token_id: the token id that fills shorter texts.
        at_once: the most texts in a call of the tower.
        padding_a_call: the cost of a call of the tower, in tokens of padding.
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
        """Compute unit rows [N, D] of N > 0 texts; a text that occurs twice is computed once."""
        return self.embed_counted(texts, tower)[0]

    def embed_counted(
        self, texts: Sequence[str], tower: Callable[[np.ndarray, np.ndarray], np.ndarray]
    ) -> tuple[np.ndarray, list[int]]:
        """Compute unit rows [N, D] as :meth:`embed`, and count the tokens that each text has."""
        unique = list(dict.fromkeys(texts))
        tokens = list(self._tokens(unique))
        rows: dict[str, np.ndarray] = {}
        chunks = cheapest_chunks(
            [*map(len, tokens)], at_once=self._at_once, padding_a_call=self._padding_a_call
        )
        for chunk in reversed(chunks):  # the longest texts first: the others fit into their memory
            embeds = tower(*self._pad_to_longest([tokens[i] for i in chunk]))
            rows.update(zip((unique[i] for i in chunk), embeds, strict=True))
        counts = dict(zip(unique, map(len, tokens), strict=True))
        return np.stack([rows[text] for text in texts]), [counts[text] for text in texts]

    def _tokens(self, texts: Sequence[str]) -> Iterator[list[int]]:
        for i in range(0, len(texts), _TOKENIZED_AT_ONCE):
            for encoding in self._tokenizer.encode_batch(texts[i : i + _TOKENIZED_AT_ONCE]):
                yield encoding.ids

    def _pad_to_longest(self, tokens: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
        """Return token ids and mask [N, L], int64."""
        longest = max(map(len, tokens))
        ids = np.full((len(tokens), longest), self._pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, each in enumerate(tokens):
            ids[row, : len(each)] = each
            mask[row, : len(each)] = 1
        return ids, mask


def cheapest_chunks(
    lengths: Sequence[int], *, at_once: int, padding_a_call: int
) -> list[list[int]]:
    """Divide texts into the chunks that take the least time in all.

    Two lengths share a chunk if the padding costs less than another call.

    Args:
        lengths: the tokens of each text.
        at_once: the most texts in a chunk.
        padding_a_call: the cost of a call of the tower, in tokens of padding.

    Returns:
        The chunks, by rising length, each a list of indices of texts.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    ends = [0]  # the end of each length's texts in `order`
    for _, group in groupby(order, key=lengths.__getitem__):
        ends.append(ends[-1] + len(list(group)))
    # For the end of each length: the least cost up to there, and where the last piece begins. All
    # texts of a piece are padded to one length, and then cut into chunks.
    costs, begins = [0], [0]
    for last in range(1, len(ends)):
        longest, ways = lengths[order[ends[last] - 1]], []
        for first in range(last):
            count = ends[last] - ends[first]
            calls = -(-count // at_once)
            ways.append((costs[first] + calls * padding_a_call + count * longest, first))
        cost, begin = min(ways)
        costs.append(cost)
        begins.append(begin)
    pieces = []
    last = len(ends) - 1
    while last:
        pieces.append(order[ends[begins[last]] : ends[last]])
        last = begins[last]
    return [
        piece[i : i + at_once] for piece in reversed(pieces) for i in range(0, len(piece), at_once)
    ]
