"""Near-duplicates: images that are copies of one, re-encoded, resized or trimmed.

Embeddings choose: a model sees what an image shows, so two photographs of one dog may be as near as
two copies of a photograph. So thumbnails decide, of those images alone that have a near one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from align_zoo.collection.hits import Hit, hit_of, shown_columns
from align_zoo.collection.sources import Input, read_bytes
from align_zoo.collection.table import SOUND, Table
from align_zoo.errors import InvalidImage
from align_zoo.inputs.decode import decode_image
from align_zoo.progress import progress_bar
from align_zoo.runtime.machine import cores

__all__ = ["NEAR", "SAME", "Duplicates", "best_copies", "find_duplicates", "fold", "thumbnail"]

NEAR = 0.95
"""The cosine of two embeddings from which thumbnails are compared."""
SAME = 0.95
"""The cosine of two thumbnails from which two images count as copies: docs/collections.md."""
_SIDE = 16
_FLAT = 2.0
"""Grey levels of noise: below, two thumbnails are both empty, and equal."""
_ROWS = 1024
_ROWS_AT_ONCE = 16_384


class Duplicates(NamedTuple):
    """Groups of near-duplicates, and what could not be compared."""

    groups: list[list[Hit]]
    """Each begins with the best copy: of the most pixels, then of the most bytes."""
    unreadable: dict[str, str]
    """By path, why an image that may have copies could not be read; it is in no group."""


def find_duplicates(table: Table, where: str | None, *, progress: bool) -> Duplicates:
    """Find the near-duplicates among a table's images, or among those that fit a condition."""
    rows, vectors = _load(table, where)
    with progress_bar("rows compared", len(rows), show=progress) as advance:
        chosen = np.flatnonzero(_has_near(vectors, advance))
    inputs = [hit_of(rows[i], 1.0).input for i in chosen]
    with progress_bar("thumbnails", len(chosen), show=progress) as advance:
        thumbnails, errors = _thumbnails(inputs, advance)
    first, cosines = best_copies(vectors[chosen], thumbnails)
    groups: dict[int, list[Hit]] = {}
    for i, (head, cosine) in enumerate(zip(first, cosines, strict=True)):
        groups.setdefault(head, []).append(hit_of(rows[chosen[i]], float(cosine)))
    unreadable = {inputs[i].path: str(error) for i, error in errors.items()}
    return Duplicates([group for group in groups.values() if len(group) > 1], unreadable)


def fold(hits: Sequence[Hit], vectors: np.ndarray) -> list[Hit]:
    """Keep of near-duplicates among hits the first, with the number of the others in a column.

    Args:
        hits: in their order.
        vectors: their unit rows [N, D].
    """
    first, _ = best_copies(vectors, _thumbnails([hit.input for hit in hits])[0])
    copies = np.bincount(first, minlength=len(hits))
    return [
        replace(hit, columns={**hit.columns, "duplicates": int(copies[i]) - 1})
        for i, hit in enumerate(hits)
        if first[i] == i
    ]


def best_copies(rows: np.ndarray, thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find for each image the first image of its group, and the cosine of their embeddings.

    The first image that is in no group yet begins one, and takes all later images that are near to
    it and in no group. So groups do not chain: each member is near to the first.

    Args:
        rows: unit rows [N, D], the best copies first.
        thumbnails: unit rows [N, T] of the same images, see :func:`thumbnail`; zeros of an image
            that cannot be read, which is then in no group.

    Returns:
        The first image's number [N] int, which is an image's own where it begins a group; and the
        cosines [N] float32.
    """
    count = len(rows)
    first, cosines = np.full(count, -1), np.ones(count, np.float32)
    for start in range(0, count, _ROWS):
        block = np.arange(start, min(start + _ROWS, count))
        block = block[first[block] < 0]
        if not len(block):
            continue
        among = rows[block] @ rows[block].T
        near = np.triu((among >= NEAR) & (thumbnails[block] @ thumbnails[block].T >= SAME), 1)
        for i, row in enumerate(block):
            if first[row] < 0:
                first[row] = row
                taken = near[i] & (first[block] < 0)
                first[block[taken]], cosines[block[taken]] = row, among[i][taken]
        heads = block[first[block] == block]
        for part in range(start + _ROWS, count, _ROWS_AT_ONCE):
            free = np.arange(part, min(part + _ROWS_AT_ONCE, count))
            free = free[first[free] < 0]
            between = rows[heads] @ rows[free].T
            near = (between >= NEAR) & (thumbnails[heads] @ thumbnails[free].T >= SAME)
            taken = np.flatnonzero(near.any(axis=0))
            nearest = near[:, taken].argmax(axis=0)
            first[free[taken]] = heads[nearest]
            cosines[free[taken]] = between[nearest, taken]
    return first, cosines


def thumbnail(image: Image.Image) -> np.ndarray:
    """Return an image's thumbnail as a unit row [769], whose products are correlations.

    Args:
        image: RGB, upright.
    """
    small = image.resize((_SIDE, _SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small, np.float32).reshape(-1, 3)
    row = np.append(pixels - pixels.mean(axis=0), np.float32(_FLAT * np.sqrt(pixels.size)))
    unit: np.ndarray = row / np.linalg.norm(row)
    return unit


def _load(table: Table, where: str | None) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Return rows and their unit rows [N, D], the best copies first."""
    columns = [*shown_columns(table.columns), "vector"]
    rows: list[dict[str, Any]] = []
    parts = [np.empty((0, table.dim), np.float32)]
    for batch in table.scan(columns, f"({where}) AND {SOUND}" if where else SOUND):
        parts.append(batch.column("vector").flatten().to_numpy().reshape(-1, table.dim))
        rows.extend(batch.drop_columns(["vector"]).to_pylist())
    order = sorted(range(len(rows)), key=lambda i: _worth(rows[i]))
    return [rows[i] for i in order], np.concatenate(parts)[order]


def _worth(row: dict[str, Any]) -> tuple[int, int, str]:
    pixels = (row["width"] or 0) * (row["height"] or 0)
    return -pixels, -row["size"], row["path"]


def _has_near(rows: np.ndarray, advance: Callable[[int], None]) -> np.ndarray:
    """Return for each row whether another one is near: every pair is computed once."""
    count = len(rows)
    found = np.zeros(count, bool)
    for start in range(0, count, _ROWS):
        block = rows[start : start + _ROWS]
        for part in range(start, count, _ROWS_AT_ONCE):
            cosines = block @ rows[part : part + _ROWS_AT_ONCE].T
            if part == start:
                np.fill_diagonal(cosines, -1)
            found[start : start + _ROWS] |= cosines.max(axis=1) >= NEAR
            found[part : part + _ROWS_AT_ONCE] |= cosines.max(axis=0) >= NEAR
        advance(len(block))
    return found


def _thumbnails(
    inputs: Iterable[Input], advance: Callable[[int], None] = lambda images: None
) -> tuple[np.ndarray, dict[int, InvalidImage]]:
    """Return the images' thumbnails [N, 769], with zeros and an error for what cannot be read."""

    def read(item: Input) -> np.ndarray | InvalidImage:
        try:
            return thumbnail(decode_image(read_bytes(item)))
        except InvalidImage as error:
            return error
        finally:
            advance(1)

    with ThreadPoolExecutor(cores()) as pool:
        answers = list(pool.map(read, inputs))
    rows = np.zeros((len(answers), 3 * _SIDE**2 + 1), np.float32)
    errors: dict[int, InvalidImage] = {}
    for i, answer in enumerate(answers):
        if isinstance(answer, InvalidImage):
            errors[i] = answer
        else:
            rows[i] = answer
    return rows, errors
