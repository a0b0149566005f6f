"""What the last release has written and runs goes on under this code."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest
from conftest import SAMPLES
from service import Service

import align_zoo
from align_zoo import Collection

INDEX = """
from align_zoo import Collection
with Collection.create(sys.argv[1], model=sys.argv[2]) as collection:
    added = collection.add(sys.argv[3])
    hits = collection.search("a red star")
print(json.dumps([added.embedded, [[hit.path, hit.score] for hit in hits]]))
"""
EMBED = """
import align_zoo
encoder = align_zoo.load_encoder(sys.argv[1])
rows = [encoder.embed_images([sys.argv[2]]), encoder.embed_texts(["a red star"])]
print(json.dumps([encoder.runtime, [row.tolist() for row in rows]]))
"""
ASK = """
import align_client
with align_client.AlignClient(sys.argv[1]) as client:
    for image in map(str.strip, sys.stdin):
        found = client.classify(image, ["red star", "blue ring"])
        rows = client.embed_image([image, image])
        print(json.dumps([[each.score for each in found], rows.tolist()]), flush=True)
"""
STAR = SAMPLES / "red-star.png"


@pytest.fixture
def collection(last_release, checkpoint, tmp_path):
    """The folder of a collection of the samples, and what the last release finds there."""
    folder = tmp_path / "samples.collection"
    embedded, hits = last_release(INDEX, folder, checkpoint, SAMPLES)
    assert embedded == len(list(SAMPLES.glob("*.png")))
    return folder, hits


def test_collection_gives_the_same_hits(collection):
    folder, before = collection
    with Collection.open(folder) as opened:
        hits = opened.search("a red star")
    assert [hit.path for hit in hits] == [path for path, _ in before]
    np.testing.assert_allclose(
        [hit.score for hit in hits], [score for _, score in before], atol=1e-5
    )


def test_collection_takes_new_images_alone(collection, tmp_path):
    folder, _ = collection
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "new.png").write_bytes(STAR.read_bytes() + b"\0")
    with Collection.open(folder) as opened:
        again, more = opened.add(SAMPLES), opened.add(tmp_path / "more")
    assert (again.embedded, again.unchanged) == (0, len(list(SAMPLES.glob("*.png"))))
    assert (more.embedded, more.failed) == (1, {})


def test_export_cache_serves_both_releases(last_release, checkpoint):
    runtime, before = last_release(EMBED, checkpoint, STAR)
    encoder = align_zoo.load_encoder(checkpoint)
    now = [encoder.embed_images([STAR]), encoder.embed_texts(["a red star"])]
    again = last_release(EMBED, checkpoint, STAR)
    assert runtime == encoder.runtime == again[0] == "onnx"
    for old, new, later in zip(before, now, again[1], strict=True):
        np.testing.assert_allclose(new, old, atol=1e-5)
        np.testing.assert_allclose(later, old, atol=1e-5)


@pytest.fixture
def exported(last_release, checkpoint):
    """The checkpoint after both releases have exported it: a start then takes seconds."""
    last_release(EMBED, checkpoint, STAR)
    align_zoo.load_encoder(checkpoint)
    return checkpoint


@pytest.fixture
def client(last_python):
    """Start the last release's client at an address; return a function that asks it."""
    running = []

    def start(address):
        command = [last_python, "-c", f"import json, sys\n{ASK}", address]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        running.append(process)

        def ask():
            process.stdin.write(f"{STAR}\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        return ask

    yield start
    for process in running:
        process.stdin.close()
        assert process.wait(60) == 0


@pytest.mark.served
def test_running_client_outlives_the_upgrade(last_python, client, exported, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # this checkout's model_repository would go before
    log, now = tmp_path / "log", Service(str(exported), tmp_path / "log")
    last = Service(str(exported), log, wrapper=[str(last_python), "-m"], program="align_zoo")
    ports = last.command[-3:]
    now.command[-3:], now.url = ports, last.url
    try:
        last.start()
        ask = client(last.url)
        before = ask()
    finally:
        assert last.stop() == 0
    try:
        now.start()
        for expected, row in zip(before, ask(), strict=True):
            np.testing.assert_allclose(row, expected, atol=1e-5)
    finally:
        assert now.stop() == 0
