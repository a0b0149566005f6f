"""Every image of a collection gets a zero-shot label, as the classifier gives it."""

from __future__ import annotations

import pytest
from image_folders import SAMPLES, draw

import align_zoo
from align_zoo.collection import table as tables
from align_zoo.collection import writer
from align_zoo.errors import InvalidInput

LABELS = ["red star", "blue triangle", "three"]


def columns_of(collection, *names):
    batches = collection._table.scan(["path", *names])
    return {row.pop("path"): tuple(row.values()) for batch in batches for row in batch.to_pylist()}


def test_labels_are_those_of_the_encoder(collection, tmp_path, embedder):
    (tmp_path / "broken.png").write_bytes(b"rubbish")
    collection.add(SAMPLES)
    collection.add(tmp_path / "broken.png")
    embedder.count = 0
    counts = collection.label(LABELS, templates="a photo of a {}.")
    assert embedder.count == 0
    encoder = align_zoo.load_encoder("align_tiny")
    found = columns_of(collection, "zero_shot", "zero_shot_score")
    assert found.pop(str(tmp_path / "broken.png")) == (None, None)
    for path, (label, score) in found.items():
        ((expected, probability),) = encoder.classify(
            path, LABELS, template="a photo of a {}.", top_k=1
        )
        assert label == expected
        assert score == pytest.approx(probability, abs=1e-4)
    assert sum(counts.values()) == len(found)


def test_labels_narrow_a_search(collection):
    collection.add(SAMPLES)
    collection.label(LABELS)
    where = "zero_shot = 'red star' and zero_shot_score > 0.5"
    hits = collection.search("a star", where=where, all=True)
    assert hits[0].path.endswith("red-star.png")
    assert {hit.columns["zero_shot"] for hit in hits} == {"red star"}


def test_labels_are_written_in_several_commits(collection, images, monkeypatch):
    collection.add(images)
    scan = tables.Table.scan
    monkeypatch.setattr(tables.Table, "scan", lambda self, *a: scan(self, *a, size=2))
    monkeypatch.setattr(writer, "_BATCHES_A_COMMIT", 2)
    assert sum(collection.label(LABELS).values()) == 12
    assert all(label for (label,) in columns_of(collection, "zero_shot").values())


def test_new_image_waits_for_the_next_label_call(collection, images):
    collection.add(images)
    collection.label(LABELS)
    draw(images / "00.png", 900)
    draw(images / "new.png", 901)
    (images / "03.png").rename(images / "moved.png")
    collection.add(images)
    labels = columns_of(collection, "zero_shot")
    without = {path for path, (label,) in labels.items() if label is None}
    assert without == {str(images / "00.png"), str(images / "new.png")}
    collection.label(["a", "b"])
    assert {label for (label,) in columns_of(collection, "zero_shot").values()} <= {"a", "b"}


def test_a_column_of_the_source_is_kept(collection, images):
    (images / "t.csv").write_text("path,kind\n00.png,mine\n")
    collection.add(images / "t.csv")
    with pytest.raises(InvalidInput, match="has a column kind already"):
        collection.label(LABELS, column="kind")
    with pytest.raises(InvalidInput, match="is no word"):
        collection.label(LABELS, column="my kind")
    collection.label(LABELS, column="thing")
    assert columns_of(collection, "kind", "thing")[str(images / "00.png")][0] == "mine"
