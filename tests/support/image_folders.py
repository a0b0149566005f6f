"""Small images in folders, an embedder that counts, and the rows of a collection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from align_zoo.collection.collection import Collection
from align_zoo.collection.embedder import EncoderEmbedder

SAMPLES = Path(__file__).parents[2] / "align_zoo/assets/samples"


class CountingEmbedder(EncoderEmbedder):
    """Computes in this process, and remembers how many images it was given."""

    count = 0

    def images(self, files: Sequence[bytes]) -> list:
        self.count += len(files)
        return super().images(files)


def draw(path: Path, seed: int) -> Path:
    """Save a small image that no other seed has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((40, 30), Image.Resampling.NEAREST).save(path)
    return path


def rows_of(collection: Collection) -> dict[str, tuple]:
    """What a collection holds, by path."""
    found: dict[str, tuple] = {}
    columns = ["path", "size", "content", "error", "vector", "width", "height"]
    for batch in collection._table.scan(columns):
        for row in batch.to_pylist():
            path = row.pop("path")
            assert path not in found
            row["vector"] = tuple(np.round(row["vector"], 5))
            found[path] = tuple(row.values())
    return found
