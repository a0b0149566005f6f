"""Servers as contenders: each gets the same work from a number of callers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from align_zoo.serving.tools.callers import Load, closed_loop
from benchmarks.inputs import labels
from benchmarks.measure import Contender

__all__ = ["fresh_labels", "latency", "share", "throughput"]

Call = Callable[[int], Any]
"""Makes the call of a number; no number comes twice in a load."""
Check = Callable[[], np.ndarray]
"""Returns the answer that is compared with the other contender's."""


def throughput(call: Call, check: Check, concurrency: int, seconds: float) -> Contender:
    """Make a contender of the seconds per answered call, with ``concurrency`` callers."""

    def contender(_: int) -> tuple[float, np.ndarray]:
        load = _sound(closed_loop(call, concurrency, seconds))
        return 1 / load.per_second, check()

    return contender


def latency(call: Call, check: Check, seconds: float) -> Contender:
    """Make a contender of the median time of one caller's calls."""

    def contender(_: int) -> tuple[float, np.ndarray]:
        load = _sound(closed_loop(call, 1, seconds, warm_up=0))
        return load.p50 / 1000, check()

    return contender


def share(contender: Contender, items: int) -> Contender:
    """Turn a contender of ``items`` at a time into a contender of its first item."""

    def first(repeats: int) -> tuple[float, Any]:
        seconds, rows = contender(repeats)
        return seconds / items, rows[0]

    return first


def fresh_labels(count: int) -> Iterator[list[str]]:
    """Yield lists of ``count`` labels that no cache has seen."""
    for block in itertools.count(1):
        # The block's own word, of letters that every tokenizer has.
        mark = "".join("abcdefghij"[int(digit)] for digit in str(block))
        made = [f"{label} {mark}" for label in labels(max(count, 1000), seed=block)]
        for i in range(0, len(made) - count + 1, count):
            yield made[i : i + count]


def _sound(load: Load) -> Load:
    assert not load.errors, f"calls failed: {load.errors}"
    return load
