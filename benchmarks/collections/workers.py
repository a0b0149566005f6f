"""Two Ray workers of one thread each beside one process of two threads."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from align_zoo.collection.embedder import Embedder, EncoderEmbedder
from align_zoo.collection.engines import Engine, in_process
from align_zoo.collection.ray_engine import RayEngine
from align_zoo.collection.shards import Shard
from align_zoo.collection.sources import list_source
from benchmarks.inputs import photos, write_photos
from benchmarks.measure import Contender, compare
from benchmarks.results import Row

__all__ = ["Together", "workers_row"]

_WORKERS = 2
_SHARDS = 4
_IMAGES = 64
"""In a shard: an eighth of the product's, for the sake of time."""
_POLL_SECONDS = 0.01


class Together(EncoderEmbedder):
    """Is ready in a worker when it is in every worker, and has computed an image in each.

    So the time from the first shard on has no part of the start.
    """

    def __init__(
        self, model: str, encoder: Any = None, *, threads: int | None = None, meeting: str = ""
    ) -> None:
        super().__init__(model, encoder, threads=threads)
        self.meeting = meeting

    def elsewhere(self) -> Callable[[int | None], Embedder]:
        """Return what waits for the others."""
        return partial(_meet, self.model, self.meeting)


def _meet(model: str, meeting: str, threads: int | None) -> Together:
    embedder = Together(model, threads=threads)
    embedder.images(photos(1))
    Path(meeting, str(os.getpid())).touch()
    while len(list(Path(meeting).iterdir())) < _WORKERS:
        time.sleep(_POLL_SECONDS)
    return embedder


def workers_row(folder: Path, rounds: int) -> Row:
    """Images a second of two workers of one thread, and of this process with two threads."""
    embedder = Together(str(folder.absolute()), threads=_WORKERS)
    with tempfile.TemporaryDirectory() as scratch:
        write_photos(Path(scratch, "photos"), photos(_SHARDS * _IMAGES))
        items = list(list_source(Path(scratch, "photos")))
        shards = [
            Shard(embedder.fingerprint, "photos", tuple(items[start : start + _IMAGES]))
            for start in range(0, len(items), _IMAGES)
        ]
        return compare(
            "collection",
            "index of 640x480 JPEGs, two Ray workers of one thread, without their start",
            "this process, two threads",
            ours=_contender(RayEngine(_WORKERS, None), shards, embedder),
            theirs=_contender(in_process, shards, embedder),
            items=len(items),
            target=0.9,
            rounds=rounds,
        )


def _contender(engine: Engine, shards: Sequence[Shard], embedder: Together) -> Contender:
    """Times the shards from the moment when the engine takes the first to the last one's rows."""
    dim = embedder.texts(["a"]).shape[1]

    def run(repeats: int) -> tuple[float, np.ndarray]:
        start = 0.0

        def taken() -> Iterator[Shard]:
            nonlocal start
            start = time.perf_counter()
            for _ in range(repeats):
                yield from shards

        found = {}
        with tempfile.TemporaryDirectory() as embedder.meeting:
            for shard, rows in engine(taken(), embedder, dim, lambda images: None):
                found[shard.name] = rows["vector"]
                seconds = time.perf_counter() - start  # not to the end of Ray itself
        vectors = [np.stack(found[shard.name].to_numpy()) for shard in shards]
        return seconds / repeats, np.concatenate(vectors)

    return run
