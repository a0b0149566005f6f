"""The demonstration of a collection: the shipped images, one search, and its sheet."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console

from align_zoo.checkpoint.paths import user_cache
from align_zoo.collection.collection import Collection
from align_zoo.collection.sheet import draw_sheet
from align_zoo.serving.tools.demo import sample_images

__all__ = ["run_collection_demo"]

_WORDS = "a red star"


def run_collection_demo(console: Console) -> None:
    """Index the shipped images in this process, search them, and draw the sheet of the hits.

    Raises:
        AlignZooError: the disk is full.
    """
    folder = sample_images()[0].parent
    with tempfile.TemporaryDirectory(prefix="align-zoo-") as scratch:
        collection = Collection.create(Path(scratch) / "collection", model="align_tiny")
        console.print(f"collection: {collection.add(folder).summary()}")
        best, *others = collection.search(_WORDS, k=5, all=True)
    sheet = user_cache() / "demo" / "search.png"
    sheet.parent.mkdir(parents=True, exist_ok=True)
    draw_sheet(sheet, _WORDS, [(hit.input, f"{hit.score:.3f}") for hit in (best, *others)])
    found = f"{_WORDS!r} is best shown by {Path(best.path).name}; its sheet: {sheet}"
    console.print(found, soft_wrap=True)  # a path that is broken cannot be copied
