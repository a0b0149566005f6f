"""A row of a collection as a caller sees it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from align_zoo.collection.sources import Input

__all__ = ["HIDDEN", "Hit", "hit_of", "shown_columns"]

HIDDEN = ("source", "content", "error", "reason", "mtime_ns", "archive", "offset", "vector")
"""Columns that a hit does not show."""


@dataclass(frozen=True)
class Hit:
    """An image that a search found, or a member of a group of near-duplicates.

    >>> photos = Collection.create("photos.collection", model="align_tiny")
    >>> report = photos.add("photos")
    >>> hit, *others = photos.search("a red star")
    >>> hit.path, hit.columns["width"]
    ('.../photos/red-star.png', 212)
    """

    path: str
    score: float
    """The cosine between the search and the image; in a group, to its best copy."""
    columns: dict[str, Any] = field(default_factory=dict)
    """The row's further columns: width, height, a caption and others."""
    input: Input = field(default=Input("", 0, 0), repr=False, compare=False)
    """Where the image's bytes are."""


def shown_columns(names: list[str]) -> list[str]:
    """Return the columns that :func:`hit_of` needs, of all of a table's."""
    hidden = set(HIDDEN) - {"mtime_ns", "archive", "offset"}
    return [name for name in names if name not in hidden]


def hit_of(row: Mapping[str, Any], score: float) -> Hit:
    """Make a hit of a row of the table."""
    raw = row.get("raw_path")
    path = os.fsdecode(raw) if raw is not None else row["path"]
    place = Input(path, row["size"], row["mtime_ns"], row["offset"], row["archive"] or "")
    left_out = (*HIDDEN, "path", "raw_path", "_distance")
    return Hit(path, score, {k: v for k, v in row.items() if k not in left_out}, place)
