"""Captioned images from a CSV or from webdataset shards."""

from __future__ import annotations

from pathlib import Path

from align_zoo.checkpoint.paths import at_home
from align_zoo.training.csv_pairs import CsvPairs
from align_zoo.training.errors import TrainingError
from align_zoo.training.pair import Pairs
from align_zoo.training.webdataset_pairs import WebdatasetPairs

__all__ = ["open_pairs"]


def open_pairs(data: str | Path, *, strict: bool = False) -> Pairs:
    """Open the pairs of a CSV, or of webdataset shards.

    Args:
        data: a path that ends in ``.csv``; or a ``.tar``'s path, a glob (``shards/*.tar``) or
            a brace pattern (``shards/{000..127}.tar``).
        strict: refuse a shard's sample that lacks its image or caption, instead of leaving it
            out. Such a row of a CSV is always refused.

    Raises:
        TrainingError: the data does not exist or holds no pairs, or a pair lacks its image or
            caption.
    """
    name = str(data)
    if name.lower().endswith(".csv"):
        return CsvPairs(at_home(name, TrainingError))
    if name.lower().endswith(".tar"):
        return WebdatasetPairs(name, strict=strict)
    raise TrainingError(f"{name} is neither a .csv nor .tar shards")
