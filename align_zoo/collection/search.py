"""Hits of a collection's table: those nearest to a vector that match, or the one of a path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from align_zoo.collection.duplicates import fold
from align_zoo.collection.hits import Hit, hit_of, shown_columns
from align_zoo.collection.shards import shown_path
from align_zoo.collection.table import SOUND, Table, quoted

__all__ = ["Judge", "hit_at", "nearest_hits"]

Judge = Callable[[np.ndarray], np.ndarray]
"""Returns which of the images with unit rows [N, D] match, [N] bool."""
_JUDGED = 50
"""Images that a search judges at least."""


def nearest_hits(
    table: Table,
    vector: np.ndarray,
    k: int,
    *,
    where: str | None = None,
    exact: bool = False,
    fold_duplicates: bool = False,
    judge: Judge | None = None,
) -> list[Hit]:
    """Return the ``k`` hits nearest to a vector, best first.

    Args:
        table: the table that is searched.
        vector: [D].
        k: the most hits.
        where: an SQL condition on the columns.
        exact: compute every distance, without the index.
        fold_duplicates: return of near-duplicates the nearest alone.
        judge: leave out the images that do not match by this judge.

    Raises:
        InvalidInput: the condition is no SQL, or names no column.
        AlignZooError: the table cannot be read.
    """
    count = 2 * k if fold_duplicates or judge else k
    count = max(count, _JUDGED) if judge else count
    while True:
        hits, vectors = _nearest(table, vector, count, where, exact)
        more = len(hits) == count
        if judge is not None and hits:
            matching = judge(vectors)
            # What is farther than an image that does not match is not looked at.
            more = more and bool(matching[-1])
            hits = [hit for hit, matches in zip(hits, matching, strict=True) if matches]
            vectors = vectors[matching]
        if fold_duplicates:
            hits = fold(hits, vectors)
        if len(hits) >= k or not more:
            return hits[:k]
        count *= 2


def _nearest(
    table: Table, vector: np.ndarray, k: int, where: str | None, exact: bool
) -> tuple[list[Hit], np.ndarray]:
    rows = table.nearest(vector, k, where=where, columns=_columns(table), exact=exact)
    vectors = rows.column("vector").combine_chunks().flatten().to_numpy()
    found: list[dict[str, Any]] = rows.drop_columns(["vector"]).to_pylist()
    return [hit_of(row, 1.0 - row["_distance"]) for row in found], vectors.reshape(-1, table.dim)


def hit_at(table: Table, path: str) -> tuple[Hit, np.ndarray] | None:
    """Return the image of a path, with the score 1, and its unit row [D]; None without one."""
    shown, _ = shown_path(path)
    for batch in table.scan(_columns(table), f"path = {quoted(shown)} AND {SOUND}"):
        for row in batch.to_pylist():
            vector = np.asarray(row.pop("vector"), np.float32)
            return hit_of(row, 1.0), vector
    return None


def _columns(table: Table) -> list[str]:
    return [*shown_columns(table.columns), "vector"]
