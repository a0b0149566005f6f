"""What `index` takes beside the tower, beside listing the files, and in memory and files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from align_zoo.collection.collection import Collection
from align_zoo.collection.embedder import EncoderEmbedder
from align_zoo.inputs.decode import decode_image
from align_zoo.runtime.load import load_encoder
from benchmarks.inputs import photos, write_photos
from benchmarks.measure import compare, interleaved, timed
from benchmarks.results import Row

__all__ = ["index_rows"]

_FILES, _FEWER = 100_000, 10_000
_APPENDS = 1_000


def index_rows(model: Path, *, rounds: int = 7) -> list[Row]:
    """Measure `index` on a checkpoint, and on align_tiny what a great many images take."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        rows = [_beside_the_tower(model, place / "photos", rounds), _appends(place / "appends")]
        few, many = (_small_images(place / str(n), n) for n in (_FEWER, _FILES))
        rows += [_memory(few, many, place), _again(many, place / "many", rounds)]
    return rows


def _beside_the_tower(model: Path, folder: Path, rounds: int, count: int = 64) -> Row:
    encoder = load_encoder(model)
    embedder = EncoderEmbedder(str(model), encoder)
    files = write_photos(folder, photos(count))
    pixels = np.stack([encoder.transform(decode_image(path.read_bytes())) for path in files])

    def index() -> np.ndarray:
        with tempfile.TemporaryDirectory() as scratch:
            collection = Collection.create(Path(scratch) / "collection", model=embedder)
            collection.add(folder)
            found = collection._table.scan(["path", "vector"])
            rows = {row["path"]: row["vector"] for batch in found for row in batch.to_pylist()}
        return np.array([rows[str(path)] for path in files])

    return compare(
        "collection",
        "index of 640x480 JPEGs",
        "the tower on decoded pixels",
        ours=timed(index),
        theirs=timed(lambda: encoder.embed_pixels(pixels)),
        items=count,
        target=0.95,
        rounds=rounds,
    )


def _small_images(folder: Path, count: int) -> Path:
    """Make so many files of few different images in one folder."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (48, 48, 3), np.uint8)) for _ in range(50)]
    for number in range(count):
        images[number % len(images)].save(folder / f"{number:06}.bmp")
    return folder


_INDEX = """
import json, re, sys
from align_zoo.collection.collection import Collection
with Collection.create(sys.argv[2], model="align_tiny") as collection:
    report = collection.add(sys.argv[1])
peak = re.search("VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]
print(json.dumps([report.embedded, int(peak) / 1024]))
"""
"""Prints the process's own peak; that of getrusage begins with its parent's."""


def _memory(few: Path, many: Path, place: Path) -> Row:
    """Compare the greatest memory of a process that indexes many images with one of few."""
    peaks = {}
    for folder, count in ((few, _FEWER), (many, _FILES)):
        where = place / f"{folder.name}.collection"
        command = [sys.executable, "-c", _INDEX, str(folder), str(where)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        embedded, peaks[count] = json.loads(done.stdout.splitlines()[-1])
        assert embedded == count, f"{embedded} of {count} images embedded"
    return Row(
        "collection",
        f"peak memory of an index of {_FILES:,} small images",
        f"of {_FEWER:,}",
        "MB",
        peaks[_FILES],
        peaks[_FEWER],
        ratio=peaks[_FILES] / peaks[_FEWER],
        target=1.05,
        at_most=True,
    )


def _again(folder: Path, where: Path, rounds: int) -> Row:
    """Compare an index of what is known already with a walk that asks for sizes and times."""
    collection = Collection.open(folder.with_name(f"{folder.name}.collection"))

    def again() -> int:
        return collection.add(folder).unchanged

    def walk(root: str = str(folder)) -> int:
        count = 0
        for entry in os.scandir(root):
            if entry.is_dir():
                count += walk(entry.path)
            else:
                entry.stat()
                count += 1
        return count

    return compare(
        "collection",
        f"index again of {_FILES:,} files without news",
        "os.scandir and stat",
        ours=timed(again),
        theirs=timed(walk),
        tolerance=0,
        target=3.0,
        at_most=True,
        rounds=rounds,
    )


def _appends(place: Path) -> Row:
    """Add images one by one and all at once: count files, and compare searches."""
    embedder = EncoderEmbedder("align_tiny")
    folder = _small_images(place / "images", _APPENDS)
    alone = Collection.create(place / "alone", model=embedder)
    files = 0
    for path in sorted(folder.iterdir()):
        alone.add(path)
        files = max(files, sum(len(names) for _, _, names in os.walk(place / "alone")))
    together = Collection.create(place / "together", model=embedder)
    together.add(folder)
    query = embedder.texts(["a star"])[0]
    contenders = {
        name: timed(lambda each=each: each.search(query))
        for name, each in (("alone", alone), ("together", together))
    }
    timings, _ = interleaved(contenders)
    ratio = timings["alone"].median / timings["together"].median
    return Row(
        "collection",
        f"most files in {_APPENDS:,} additions of one image",
        "",
        "files",
        files,
        target=20,
        at_most=True,
        note=f"a search takes {ratio:.2f} times as long as after one addition of all",
    )
