"""A folder of small images, an empty collection, and an embedder that counts what it computes."""

from __future__ import annotations

from pathlib import Path

import pytest
from image_folders import CountingEmbedder, draw

from align_zoo.collection.collection import Collection


@pytest.fixture(scope="session")
def _loaded() -> CountingEmbedder:
    return CountingEmbedder("align_tiny")


@pytest.fixture
def embedder(_loaded: CountingEmbedder) -> CountingEmbedder:
    _loaded.count = 0
    return _loaded


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of twelve images in three folders."""
    folder = tmp_path / "images"
    for seed in range(12):
        draw(folder / ("", "a", "a/b")[seed % 3] / f"{seed:02}.png", seed)
    return folder


@pytest.fixture
def collection(tmp_path: Path, embedder: CountingEmbedder) -> Collection:
    return Collection.create(tmp_path / "collection", model=embedder)
