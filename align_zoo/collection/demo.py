"""The demonstration of a collection: the shipped emoji, five searches, and a sheet of the hits."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from align_zoo.checkpoint.paths import user_cache
from align_zoo.collection.collection import Collection
from align_zoo.collection.sheet import draw_sheet
from align_zoo.serving.tools.demo import emoji_folder

__all__ = ["run_collection_demo"]

_SEARCHES = (
    "crying cat",
    "red fruit",
    "something to open a bottle",
    "celebration",
    "tangerine.png",
)
"""What is searched for; the last is an image of the collection."""
_HITS = 5


def run_collection_demo(console: Console) -> None:
    """Index the shipped emoji in this process, search them, and draw a sheet of the hits.

    Raises:
        AlignZooError: the disk is full.
    """
    folder = emoji_folder()
    table = Table(title="searches among the emoji, best image first")
    table.add_column("search")
    table.add_column("images")
    shown = []
    with tempfile.TemporaryDirectory(prefix="align-zoo-") as scratch:
        collection = Collection.create(Path(scratch) / "collection", model="align_emoji")
        console.print(f"collection: {collection.add(folder).summary()}")
        for search in _SEARCHES:
            query = str(folder / search) if search.endswith(".png") else search
            hits = collection.search([query], k=_HITS, all=True)
            table.add_row(search, ", ".join(Path(hit.path).stem for hit in hits))
            shown += [(hit.input, f"{search}: {hit.score:.3f}") for hit in hits]
    console.print(table)
    sheet = user_cache() / "demo" / "search.png"
    sheet.parent.mkdir(parents=True, exist_ok=True)
    draw_sheet(sheet, f"{len(_SEARCHES)} searches, a row each", shown)
    console.print(f"their sheet: {sheet}", soft_wrap=True)  # a broken path cannot be copied
