"""Damage to a collection's files is found and named, and repaired without what is sound."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from image_folders import draw, rows_of

from align_zoo.collection import check as checking
from align_zoo.collection import table as tables
from align_zoo.collection.collection import Collection
from align_zoo.collection.state import State
from align_zoo.collection.writer import Writer


@pytest.fixture
def two_files(collection, images, tmp_path) -> tuple[Collection, list[Path]]:
    """A collection whose rows are in two files: twelve images, and nine others."""
    collection.add(images)
    for seed in range(8):
        draw(tmp_path / "more" / f"{seed}.png", 500 + seed)
    (tmp_path / "more" / "broken.png").write_bytes(b"rubbish")
    collection.add(tmp_path / "more")
    files = Path(collection.where).glob("*.lance/data/*.lance")
    return collection, sorted(files, key=lambda path: path.stat().st_mtime_ns)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path: Path, what: bytes, at: float) -> None:
    with path.open("r+b") as file:
        file.seek(int(path.stat().st_size * at))
        file.write(what)


DAMAGES = {
    "truncated": truncate,
    "removed": Path.unlink,
    "empty": lambda path: os.truncate(path, 0),
    "zeros": lambda path: overwrite(path, bytes(2048), 0.2),
    "rubbish at the end": lambda path: overwrite(path, b"\xff" * 40, 0.99),
    "rubbish": lambda path: overwrite(path, np.random.default_rng(0).bytes(4000), 0.1),
}


def test_a_sound_collection_is_sound(two_files):
    collection, _ = two_files
    health = collection.check()
    assert (health.rows, health.sound, health.damaged, health.recall) == (21, True, {}, None)
    assert health.summary() == ["21 rows, all sound"]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_rows_are_named_and_repaired(two_files, images, tmp_path, embedder, damage):
    collection, (_, second) = two_files
    before = rows_of(collection)
    damage(second)
    again = Collection.open(collection.where, model=embedder)
    health = again.check()
    assert not health.sound
    inside = {str(path) for path in (tmp_path / "more").iterdir()}
    assert health.damaged.keys() <= inside
    assert health.damaged

    assert again.check(repair=True).damaged == health.damaged
    assert again.check().sound
    kept = rows_of(again)
    assert kept.keys() == before.keys() - health.damaged.keys()
    assert all(before[path] == row for path, row in kept.items())

    embedder.count = 0
    report = again.add(tmp_path / "more")
    assert report.embedded + len(report.failed) == len(health.damaged)
    assert embedder.count == len(health.damaged)
    assert rows_of(again) == before
    assert len(list(Path(collection.where).glob("*.lance"))) == 1


def test_sound_rows_of_a_damaged_part_are_kept(collection, images, monkeypatch):
    collection.add(images)
    monkeypatch.setattr(checking, "_ROWS", 8)
    take = tables.Table.take

    def failing(self, start, end):
        if start <= 5 < end:
            raise checking.AlignZooError("a page cannot be read")
        return take(self, start, end)

    monkeypatch.setattr(tables.Table, "take", failing)
    assert len(collection.check().damaged) == 1


def test_rows_that_were_not_written_so_are_named(collection, images):
    collection.add(images)
    table = collection._table
    first, second, third = (table.take(i, i + 1) for i in range(3))
    size = first.schema.get_field_index("size")
    table.upsert(first.set_column(size, first.schema.field(size), pa.array([7])))
    table.append(second)
    table.append(third.set_column(0, third.schema.field(0), pa.array(["/never/written.png"])))
    (path,) = Path(collection.where).glob("work/*/state.sqlite")
    with State(path) as state:
        state.update([], [], table.version)  # as if all had been written by a run
    assert collection.check().damaged == {
        first["path"][0].as_py(): "the row is not as it was written",
        second["path"][0].as_py(): "the row is there twice",
        "/never/written.png": "no row has been written for this path",
    }


def test_the_recall_of_an_index_is_measured(tmp_path, embedder, monkeypatch):
    from test_table import rows

    monkeypatch.setattr(tables, "EXACT", 500)
    collection = Collection.create(tmp_path / "c", model=Vectors(embedder))
    collection._table.append(rows(1, 3000)[0])
    collection.optimize()
    health = collection.check()
    assert health.sound
    assert health.recall >= 0.95
    assert health.summary()[-1].startswith("the index finds 9") or health.recall == 1

    for path in Path(collection.where).glob("*.lance/_indices/*/*"):
        path.unlink()
    broken = Collection.open(collection.where).check(repair=True)
    assert broken.index
    assert Collection.open(collection.where).check().sound


class Vectors:
    """An embedder of the rows of test_table."""

    def __init__(self, embedder) -> None:
        self.fingerprint, self.model, self.temperature = "vectors", "", embedder.temperature

    def texts(self, texts):
        return np.zeros((len(texts), 64), np.float32)


def test_a_repair_keeps_finished_shards(collection, images, embedder, monkeypatch):
    collection.add(next(images.glob("*.png")))
    with monkeypatch.context() as patch:
        patch.setattr(Writer, "_commit_finished", lambda self: None)  # as if killed before
        collection.add(images)
    truncate(next(Path(collection.where).glob("*.lance/data/*.lance")))
    again = Collection.open(collection.where, model=embedder)
    assert again.check(repair=True).damaged
    embedder.count = 0
    again.add(images)
    assert again.info()["embedded"] == 12
    assert embedder.count == 1
