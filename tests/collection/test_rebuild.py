"""A collection takes another checkpoint: a second table is filled, and then takes over."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from image_folders import CountingEmbedder, draw, rows_of

from align_zoo.collection.collection import Collection
from align_zoo.errors import AlignZooError


class Other(CountingEmbedder):
    """Another checkpoint, of half as many dimensions."""

    def __init__(self, embedder: CountingEmbedder) -> None:
        self.__dict__.update(embedder.__dict__, fingerprint="other", count=0)

    def texts(self, texts):
        return _halved(super().texts(texts))

    def images(self, files):
        answers = super().images(files)
        return [_halved(each) if isinstance(each, np.ndarray) else each for each in answers]


def _halved(rows):
    halved = rows[..., : rows.shape[-1] // 2]
    return halved / np.linalg.norm(halved, axis=-1, keepdims=True)


@pytest.fixture
def other(embedder) -> Other:
    return Other(embedder)


def test_a_rebuilt_collection_equals_a_new_one(collection, images, tmp_path, other):
    (images / "broken.jpg").write_bytes(b"rubbish")
    collection.add(images)
    collection.add(draw(tmp_path / "elsewhere" / "o.png", 200).parent)
    report = collection.rebuild(model=other)
    assert (report.embedded, len(report.failed), report.pruned) == (13, 1, 0)
    expected = Collection.create(tmp_path / "expected", model=other)
    expected.add(images)
    expected.add(tmp_path / "elsewhere")
    assert rows_of(collection) == rows_of(expected)
    assert collection.fingerprint == "other"
    assert collection.search(str(images / "00.png"), k=1)[0].score == pytest.approx(1, abs=1e-4)
    tables = [path.name for path in Path(collection.where).glob("*.lance")]
    assert tables == ["rows_other.lance"]


def test_searches_go_on_during_a_rebuild(collection, images, embedder, other):
    collection.add(images)
    reader = Collection.open(collection.where, model=embedder)
    begun, go_on = threading.Event(), threading.Event()
    embed = other.images

    def held(files):
        begun.set()
        assert go_on.wait(60)
        return embed(files)

    other.images = held
    rebuilding = threading.Thread(target=collection.rebuild, kwargs={"model": other})
    rebuilding.start()
    assert begun.wait(60)
    try:
        for each in (reader, Collection.open(collection.where, model=embedder)):
            assert len(each.search("a star", k=12, all=True)) == 12
            assert each.fingerprint == embedder.fingerprint
    finally:
        go_on.set()
        rebuilding.join()
    assert Collection.open(collection.where, model=other).fingerprint == "other"


def test_an_open_reader_follows_a_rebuild(collection, images, embedder):
    collection.add(images)
    reader = Collection.open(collection.where, model=embedder)
    collection.rebuild(model=embedder)
    assert len(reader.search("a star", k=12, all=True)) == 12


def test_a_vector_of_the_earlier_checkpoint_is_refused(collection, images, embedder, other):
    collection.add(images)
    reader = Collection.open(collection.where, model=embedder)
    collection.rebuild(model=other)
    with pytest.raises(AlignZooError, match="embed the query again"):
        reader.search(embedder.texts(["a star"])[0])


def test_an_interrupted_rebuild_goes_on(collection, images, tmp_path, embedder, other):
    collection.add(images)
    collection.add(draw(tmp_path / "second" / "o.png", 200).parent)
    embed = other.images

    def interrupted(files):
        if other.count:
            raise KeyboardInterrupt
        return embed(files)

    other.images = interrupted
    with pytest.raises(KeyboardInterrupt):
        collection.rebuild(model=other)
    assert Collection.open(collection.where).fingerprint == embedder.fingerprint
    done, other.images = other.count, embed
    assert done in (1, 12)
    again = Collection.open(collection.where)
    again.rebuild(model=other)
    assert other.count == 13
    assert again.info()["embedded"] == 13


@pytest.mark.parametrize("gone", ["image", "source"])
def test_images_that_are_gone_stop_a_rebuild(collection, images, embedder, other, tmp_path, gone):
    collection.add(images)
    collection.add(draw(tmp_path / "second" / "o.png", 200).parent)
    if gone == "image":
        (images / "00.png").unlink()
    else:
        shutil.rmtree(tmp_path / "second")
    with pytest.raises(AlignZooError, match=r"00\.png; --prune|there is no .*second"):
        collection.rebuild(model=other)
    assert Collection.open(collection.where).fingerprint == embedder.fingerprint
    assert len(rows_of(collection)) == 13
    assert collection.rebuild(model=other, prune=True).pruned == 1
    assert len(rows_of(collection)) == 12


def test_a_rebuild_given_up_leaves_nothing(collection, images, embedder, other):
    collection.add(images)
    other.images = lambda files: (_ for _ in ()).throw(AlignZooError("the server is gone"))
    with pytest.raises(AlignZooError, match="the server is gone"):
        collection.rebuild(model=other)
    assert collection.rebuild(model=embedder).embedded == 12
    assert len(list(Path(collection.where).glob("*.lance"))) == 1
