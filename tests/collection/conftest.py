"""A folder of small images, an empty collection, and an embedder that counts what it computes."""

from __future__ import annotations

from pathlib import Path

import pytest
from image_folders import CountingEmbedder, draw

from align_zoo.checkpoint.paths import user_cache
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


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache with nothing in it but this run's exports, which take seconds to make."""
    exports = user_cache() / "exports"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    user_cache().mkdir(parents=True)
    (user_cache() / "exports").symlink_to(exports)
    return user_cache()
