"""Searching a large collection beside faiss and numpy's exact product, and from the shell."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from align_zoo.collection.database import connect, create
from align_zoo.collection.shards import rows_schema
from align_zoo.collection.table import Table
from align_zoo.runtime.machine import cores
from align_zoo.serving.tools.demo import sample_images
from benchmarks.measure import interleaved, timed
from benchmarks.results import Row

__all__ = ["search_rows"]

_DIM, _COUNT, _CLUSTERS = 640, 1_000_000, 20_000
_PART = 50_000
_QUERIES, _K = 50, 10
_RECALL = 0.98


def search_rows(*, count: int = _COUNT, rounds: int = 7) -> list[Row]:
    """Measure searches among so many clustered rows, the index's making, and the command."""
    print(f"making {count:,} rows", flush=True)
    vectors = np.concatenate(list(_parts(count)))
    queries = _clustered(_QUERIES, seed=1)
    truth = [_exact(vectors, query) for query in queries]
    with tempfile.TemporaryDirectory() as scratch:
        table = _filled(Path(scratch), vectors)
        begun = time.perf_counter()
        table.upkeep(always=True)
        built = time.perf_counter() - begun
        print(f"the index was made in {built:.0f} s", flush=True)
        ours = _Ring(queries, lambda query: _numbers(table.nearest(query, _K)))
        recall = _recall(ours.all(), truth)
        find = _faiss_index(vectors, queries, truth, recall)
        theirs, numpy = _Ring(queries, find), _Ring(queries, lambda query: _exact(vectors, query))
        names = {"ours": timed(ours), "faiss": timed(theirs), "numpy": timed(numpy)}
        timings, _ = interleaved(names, rounds=rounds, seconds=1.0)
    what = f"search among {count:,} rows, k = {_K}"
    mine = timings["ours"]
    rows = [
        Row("collection", f"recall@{_K} of a {what}", "", "%", 100 * recall, target=100 * _RECALL),
        Row("collection", "the index's making", "", "s", built, target=360, at_most=True),
    ]
    for peer, target, at_most in (("faiss", 2.0, True), ("numpy", 10.0, False)):
        other = timings[peer]
        rows.append(
            Row(
                "collection",
                what,
                "faiss IVF, as much recall" if peer == "faiss" else "numpy's product",
                "ms",
                mine.median * 1000,
                other.median * 1000,
                mine.spread,
                other.spread,
                mine.median / other.median if at_most else other.median / mine.median,
                target,
                at_most,
            )
        )
    return [*rows, _shell_row(rounds)]


def _shell_row(rounds: int) -> Row:
    """Measure `align-zoo search` on align_tiny from the shell, words, on a warm disk."""
    with tempfile.TemporaryDirectory() as scratch:
        where = str(Path(scratch) / "collection")
        command = [sys.executable, "-m", "align_zoo"]
        subprocess.run(
            [*command, "index", str(sample_images()[0].parent), where, "--model=align_tiny"],
            check=True,
            capture_output=True,
        )
        words = [*command, "search", where, "a", "red", "star"]
        run = timed(lambda: subprocess.run(words, check=True, capture_output=True))
        timings, _ = interleaved({"ours": run}, rounds=rounds)
    mine = timings["ours"]
    return Row(
        "collection",
        "`align-zoo search` from the shell, align_tiny",
        "",
        "s",
        mine.median,
        spread=mine.spread,
        target=2.0,
        at_most=True,
    )


def _faiss_index(
    vectors: np.ndarray, queries: np.ndarray, truth: list[list[int]], recall: float
) -> Callable[[np.ndarray], list[int]]:
    """Build faiss's IVF index, and choose the fewest probes that find as much."""
    import faiss

    faiss.omp_set_num_threads(cores())
    lists = int(4 * np.sqrt(len(vectors)))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(_DIM), _DIM, lists, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors[:: max(1, len(vectors) // (40 * lists))])
    index.add(vectors)

    def find(query: np.ndarray) -> list[int]:
        return index.search(query[None], _K)[1][0].tolist()

    for index.nprobe in (1, 2, 4, 8, 16, 32, 64, 128):
        if _recall([find(query) for query in queries], truth) >= recall:
            break
    return find


class _Ring:
    """Asks one query after the other, so that no answer is remembered."""

    def __init__(self, queries: np.ndarray, find: Callable[[np.ndarray], list[int]]) -> None:
        self._queries, self._find, self._next = queries, find, 0

    def __call__(self) -> list[int]:
        self._next = (self._next + 1) % len(self._queries)
        return self._find(self._queries[self._next])

    def all(self) -> list[list[int]]:
        """The answers of all queries."""
        return [self._find(query) for query in self._queries]


def _parts(count: int) -> Iterator[np.ndarray]:
    for start in range(0, count, _PART):
        yield _clustered(min(_PART, count - start), seed=start + 2)


def _clustered(count: int, *, seed: int) -> np.ndarray:
    """Unit rows around the same centres whatever the seed."""
    centres = np.random.default_rng(0).standard_normal((_CLUSTERS, _DIM), np.float32)
    rng = np.random.default_rng(seed)
    rows = centres[rng.integers(0, _CLUSTERS, count)]
    rows += 0.7 * rng.standard_normal((count, _DIM), np.float32)
    unit: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _filled(place: Path, vectors: np.ndarray) -> Table:
    base = connect(str(place))
    create(base, "rows", rows_schema(_DIM))
    table = Table(base, "rows", str(place))
    for start in range(0, len(vectors), _PART):
        part = vectors[start : start + _PART]
        numbers = range(start, start + len(part))
        columns = {
            "path": [str(number) for number in numbers],
            "source": ["s"] * len(part),
            "size": [1] * len(part),
            "mtime_ns": [1] * len(part),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), _DIM),
        }
        table.append(pa.table(columns))
    return table


def _numbers(rows: pa.Table) -> list[int]:
    return [int(path) for path in rows["path"].to_pylist()]


def _exact(vectors: np.ndarray, query: np.ndarray) -> list[int]:
    cosines = vectors @ query
    best = np.argpartition(-cosines, _K)[:_K]
    return best[np.argsort(-cosines[best])].tolist()


def _recall(found: list[list[int]], truth: list[list[int]]) -> float:
    pairs = zip(found, truth, strict=True)
    return sum(len({*some} & {*right}) for some, right in pairs) / (len(truth) * _K)
