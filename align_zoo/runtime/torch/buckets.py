"""Which of a few fixed sizes a batch of any size is computed in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["pad_texts", "split"]


def split(count: int, sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Pieces (rows, size) of ``count`` rows: each is computed as a batch of ``size`` >= ``rows``.

    A piece is the smallest size that holds what is left, if that is at least half full, else
    the largest that is quite full. So 9 of (1, 4, 16) is one 16, and 17 is 16 and 1.
    """
    pieces = []
    while count:
        above = [size for size in sizes if count <= size <= 2 * count]
        below = [size for size in sizes if size < count]
        size = min(above) if above else max(below, default=min(sizes))
        pieces.append((min(count, size), size))
        count -= pieces[-1][0]
    return pieces


def pad_texts(
    input_ids: np.ndarray, attention_mask: np.ndarray, lengths: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Ids and mask [N, L] with masked tokens up to the next length; as they are above the last."""
    length = input_ids.shape[1]
    more = min((each for each in lengths if each >= length), default=length) - length
    wider = ((0, 0), (0, more))
    return np.pad(input_ids, wider), np.pad(attention_mask, wider)
