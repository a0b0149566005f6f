"""Compares both towers with transformers' AlignModel on one checkpoint, in separate processes."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.inputs import labels
from benchmarks.machine import Sgemm, image_gflop
from benchmarks.measure import Contender, compare, interleaved
from benchmarks.peers.worker import Worker
from benchmarks.results import Row

__all__ = ["tower_rows"]

IMAGES = {1: 1.9, 4: 2.8, 16: 4.0}
"""The target for each number of images in a batch."""
LABELS = {1: 5.0, 8: 5.0, 64: 6.0, 1000: 8.0}
"""The target for each number of labels in a batch."""
LIMIT = 0.62
"""The target as a share of the machine's matrix product."""
PRODUCTS = 32
"""The matrix products of a turn, which take some seconds, as a batch does."""
_EAGER = "transformers, eager"
_PADDED = "transformers, padded to 64"

Start = Callable[[], Worker]
"""Starts a contender's process."""


def tower_rows(folder: Path, ours: Start, theirs: Start, *, size: int, rounds: int) -> list[Row]:
    """Compare each tower, and the image tower with the machine's matrix product."""
    rows = _image_rows(ours, theirs, size, rounds)
    with ours() as mine, theirs() as other:
        rows.append(_beside_the_limit(folder, mine, size, rounds))
        return rows + _label_rows(mine, other, rounds)


def _image_rows(ours: Start, theirs: Start, size: int, rounds: int) -> list[Row]:
    rows = []
    for count, target in IMAGES.items():
        rng = np.random.default_rng(count)
        pixels = rng.standard_normal((count, 3, size, size), dtype=np.float32)
        rows.append(
            compare(
                "image tower",
                _many(count, "image"),
                _EAGER,
                ours=_in_new_process(ours, pixels),
                theirs=_in_new_process(theirs, pixels),
                items=count,
                target=target,
                rounds=rounds,
            )
        )
    return rows


def _in_new_process(start: Start, pixels: np.ndarray) -> Contender:
    """Make a contender that starts a new process in each turn.

    A process of PyTorch keeps its speed over its life, but the speeds of two processes differ by up
    to a third. Turns of one process would all have the same luck.
    """

    def contender(repeats: int) -> tuple[float, Any]:
        with start() as worker:
            worker.pixels(pixels)  # first calls allocate
            return worker.pixels(pixels, repeats)

    return contender


def _label_rows(ours: Worker, theirs: Worker, rounds: int) -> list[Row]:
    rows = []
    for count, target in LABELS.items():
        texts = labels(count)
        rows.append(
            compare(
                "text tower",
                _many(count, "label"),
                _PADDED,
                ours=partial(ours.texts, texts),
                theirs=partial(theirs.texts, texts),
                items=count,
                target=target,
                rounds=rounds if count < 1000 else 2,
            )
        )
    return rows


def _beside_the_limit(folder: Path, ours: Worker, size: int, rounds: int) -> Row:
    """Compare the best batch's operations a second with sgemm's in the same minutes."""
    gflop, sgemm = image_gflop(folder), Sgemm()
    rng = np.random.default_rng(0)
    batches = {n: rng.standard_normal((n, 3, size, size), dtype=np.float32) for n in IMAGES}
    timings, _ = interleaved(
        {
            **{str(n): partial(ours.pixels, pixels) for n, pixels in batches.items()},
            # A rate instead of a time, so a turn has a length of its own.
            "sgemm": lambda _: (1 / sgemm.gflops(PRODUCTS), None),
        },
        rounds=rounds,
    )
    best = max(batches, key=lambda n: n / timings[str(n)].median)
    reached = gflop * best / timings[str(best)].median
    limit = statistics.median(1 / seconds for seconds in timings["sgemm"].rounds)
    row = Row(
        group="image tower",
        what=f"{_many(best, 'image')}, the best batch",
        against="sgemm",
        unit="GFLOP/s",
        ours=reached,
        theirs=limit,
        spread=timings[str(best)].spread,
        their_spread=timings["sgemm"].spread,
        ratio=reached / limit,
        target=LIMIT,
        note=f"{gflop:.1f} GFLOP an image",
    )
    print(row.line(), flush=True)
    return row


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
