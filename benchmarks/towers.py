"""Both towers beside transformers' AlignModel on one checkpoint, each in processes of its own."""

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
"""Images in a batch, and what is wanted."""
LABELS = {1: 5.0, 8: 5.0, 64: 6.0, 1000: 8.0}
LIMIT = 0.62
"""Of the machine's matrix product."""
PRODUCTS = 32
"""Matrix products in a turn, some seconds: as long as a batch takes."""
_EAGER = "transformers, eager"
_PADDED = "transformers, padded to 64"

Start = Callable[[], Worker]
"""Starts a contender's process."""


def tower_rows(folder: Path, ours: Start, theirs: Start, *, size: int, rounds: int) -> list[Row]:
    """Pixels and labels through each tower; and the image tower beside what the machine can do."""
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
                ours=_anew(ours, pixels),
                theirs=_anew(theirs, pixels),
                items=count,
                target=target,
                rounds=rounds,
            )
        )
    return rows


def _anew(start: Start, pixels: np.ndarray) -> Contender:
    """Of a new process each turn.

    A process of PyTorch's keeps its speed over its life, and others have had up to a third more.
    Turns of one process would all have the same luck.
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
    """Counted operations a second of the best batch, beside sgemm's in the same minutes."""
    gflop, sgemm = image_gflop(folder), Sgemm()
    rng = np.random.default_rng(0)
    batches = {n: rng.standard_normal((n, 3, size, size), dtype=np.float32) for n in IMAGES}
    timings, _ = interleaved(
        {
            **{str(n): partial(ours.images, pixels) for n, pixels in batches.items()},
            # Of its own length: what it gives is no time.
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
