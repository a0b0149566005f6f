"""Embeddings in files: equal to the encoder's, whole or not there, continued where they ended."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from align_zoo.collection import shards
from align_zoo.collection.engines import in_process
from align_zoo.collection.vectors import write_vectors
from align_zoo.errors import AlignZooError, InvalidInput


def expected(embedder, images):
    paths = sorted(images.rglob("*.png"))
    return dict(zip(map(str, paths), embedder.images([p.read_bytes() for p in paths]), strict=True))


def backwards(*run):
    yield from reversed(list(in_process(*run)))


@pytest.mark.parametrize(("dtype", "error"), [("float32", 1e-6), ("float16", 1e-3)])
@pytest.mark.parametrize("name", ["parts", "vectors.npy"])
def test_files_hold_the_encoders_vectors(images, tmp_path, embedder, name, dtype, error):
    (images / "broken.jpg").write_bytes(b"rubbish")
    out = tmp_path / name
    report = write_vectors(images, out, embedder, dtype=dtype)
    assert (report.embedded, list(report.failed)) == (12, [str(images / "broken.jpg")])
    if out.suffix:
        lines = out.with_suffix(".jsonl").read_text().splitlines()
        paths, vectors = [json.loads(line)["path"] for line in lines], np.load(out)
    else:
        table = pq.read_table(out)
        assert table.column("error").null_count == 12
        table = table.filter(table.column("error").is_null())
        paths = table.column("path").to_pylist()
        vectors = np.stack(table.column("vector").to_numpy())
    assert vectors.dtype == dtype
    for path, vector in zip(paths, vectors, strict=True):
        np.testing.assert_allclose(vector, expected(embedder, images)[path], atol=error)
    assert sorted(each.name for each in tmp_path.iterdir() if each.name.startswith(".")) == []


def test_shards_may_be_finished_in_any_order(images, tmp_path, embedder, monkeypatch):
    monkeypatch.setattr(shards, "SHARD", 5)
    write_vectors(images, tmp_path / "forwards", embedder)
    report = write_vectors(images, tmp_path / "backwards", embedder, engine=backwards)
    assert report.embedded == 12
    assert pq.read_table(tmp_path / "backwards").equals(pq.read_table(tmp_path / "forwards"))


def test_a_second_run_computes_what_is_missing(images, tmp_path, embedder):
    write_vectors(images, tmp_path / "out", embedder)
    embedder.count = 0
    report = write_vectors(images, tmp_path / "out", embedder)
    assert (report.unchanged, report.embedded, embedder.count) == (12, 0, 0)
    (images / "00.png").unlink()
    assert write_vectors(images, tmp_path / "out", embedder).embedded == 11
    assert pq.read_table(tmp_path / "out").num_rows == 11


def test_a_place_that_cannot_be_written_is_named(images, tmp_path, embedder):
    (tmp_path / "file").write_text("")
    with pytest.raises(AlignZooError, match="file/out cannot be written: Not a directory"):
        write_vectors(images, tmp_path / "file" / "out", embedder)
    with pytest.raises(InvalidInput, match="there are float32, float16"):
        write_vectors(images, tmp_path / "out", embedder, dtype="int8")
