"""Servers compute a collection as this process does."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from image_folders import rows_of

from align_zoo.collection.collection import Collection
from align_zoo.collection.embedder import ServerEmbedder
from align_zoo.errors import AlignZooError


def test_a_server_gives_the_rows_of_this_process(server, collection, images, tmp_path):
    (images / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    collection.add(images)
    asked = ServerEmbedder([server.grpc_url])
    other = Collection.create(tmp_path / "served", model=asked)
    report = other.add(images)
    assert len(report.failed) == 1
    ours, theirs = rows_of(collection), rows_of(other)
    assert ours.keys() == theirs.keys()
    for path, row in ours.items():
        np.testing.assert_allclose(theirs[path][3], row[3], atol=1e-4)
        assert (theirs[path][2] or "").partition(" (request")[0] == (row[2] or "")
    # Of one checkpoint: begun by one, continued by the other.
    assert Collection.open(collection.where, model=asked).search("star", all=True)


def test_another_process_asks_the_same_servers(server):
    asked = ServerEmbedder([server.grpc_url])
    again = pickle.loads(pickle.dumps(asked.elsewhere()))(2)
    assert again.fingerprint == asked.fingerprint
    np.testing.assert_array_equal(again.texts(["star"]), asked.texts(["star"]))


def test_no_server_is_named_and_nothing_is_made(tmp_path):
    with pytest.raises(AlignZooError, match=r"127\.0\.0\.1:1: "):
        Collection.create(tmp_path / "c", model=ServerEmbedder(["127.0.0.1:1"]))
    assert not (tmp_path / "c").exists()
