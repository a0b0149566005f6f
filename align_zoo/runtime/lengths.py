"""Which texts to pad to one length: those whose padding costs less than a call of their own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

__all__ = ["cheapest_chunks"]


def cheapest_chunks(
    lengths: Sequence[int], *, at_once: int, padding_a_call: int
) -> list[list[int]]:
    """Indices of texts, by rising length, in the chunks that take the least time in all.

    Args:
        lengths: tokens of each text.
        at_once: texts in a chunk, at most.
        padding_a_call: a call of its own costs as much as so many tokens of padding.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    ends = [0]  # of each length among the ordered
    for _, group in groupby(order, key=lengths.__getitem__):
        ends.append(ends[-1] + len(list(group)))
    # The cheapest way to the end of each length, and where its last piece begins: a piece is
    # padded to one length, and cut into chunks.
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
