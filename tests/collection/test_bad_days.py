"""What goes wrong while images are indexed: nothing is lost, and all else goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
from image_folders import draw, rows_of
from PIL import Image
from tries import tries
from typer.testing import CliRunner

from align_zoo.cli import app
from align_zoo.collection.collection import Collection

MANY, BROKEN = tries(10_000, short=1_000), tries(300, short=30)


def of_bytes(data: bytes):
    return lambda path: path.write_bytes(data)


def shortened(path: Path) -> None:
    Image.effect_noise((64, 64), 40).convert("RGB").save(path, "JPEG")
    os.truncate(path, path.stat().st_size // 2)


def announced(path: Path) -> None:
    """A BMP that says it has 30,000 x 30,000 pixels."""
    Image.new("RGB", (2, 2)).save(path, "BMP")
    data = bytearray(path.read_bytes())
    data[18:26] = (30_000).to_bytes(4, "little") * 2
    path.write_bytes(data)


def oversized(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(21_000_000)


BREAKS = [
    of_bytes(b""),
    of_bytes(b"\xff\xd8\xff"),
    of_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20)),
    of_bytes(b"<!DOCTYPE html><title>404</title>"),
    of_bytes(b"PK\x03\x04" + bytes(40)),
    of_bytes(os.urandom(500)),
    shortened,
    announced,
    oversized,
    lambda path: path.symlink_to("nowhere.jpg"),
]


def run(*arguments, code=0):
    done = CliRunner().invoke(app, [*map(os.fspath, arguments)])
    assert done.exit_code == code, done.stderr[-2000:]
    return done


def test_broken_images_among_many_fail_alone(tmp_path):
    folder, where = tmp_path / "images", tmp_path / "collection"
    folder.mkdir()
    rng = np.random.default_rng(0)
    sound = [Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8)) for _ in range(20)]
    for number in range(MANY):
        path = folder / f"{number:05}.jpg"
        if number % (MANY // BROKEN) == 7 and number // (MANY // BROKEN) < BROKEN:
            BREAKS[number // (MANY // BROKEN) % len(BREAKS)](path)
        else:
            sound[number % len(sound)].save(path, "BMP")
    done = run("index", folder, where, "--model=align_tiny", code=2)
    assert f"{MANY - BROKEN} embedded, {BROKEN} failed" in done.stderr
    complaints = [line for line in done.stderr.splitlines() if ".jpg: " in line]
    assert len(complaints) == BROKEN
    about = json.loads(run("collection", "info", where).stdout)
    assert (about["rows"], about["embedded"]) == (MANY, MANY - BROKEN)
    assert sum(about["failed"].values()) == BROKEN

    for line in complaints:
        path = Path(line.partition(": ")[0])
        path.unlink()
        sound[0].save(path, "BMP")
    done = run("index", folder, where, "--retry-failed")
    assert f"{BROKEN} embedded" in done.stderr
    assert json.loads(run("collection", "info", where).stdout)["embedded"] == MANY


LIMITED = textwrap.dedent(
    """
    import resource, sys
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
    from align_zoo.collection.collection import Collection
    from align_zoo.errors import AlignZooError
    try:
        Collection.open(sys.argv[1], model="align_tiny").add(sys.argv[2])
    except AlignZooError as error:
        print(error)
    """
)


def test_a_full_disk_keeps_what_is_done(tmp_path, images, embedder):
    for seed in range(300):
        draw(images / "more" / f"{seed}.png", 2000 + seed)
    collection = Collection.create(tmp_path / "full", model=embedder)
    command = [sys.executable, "-c", LIMITED, collection.where, images]
    for limit in (60_000, 150_000):  # bytes of a file: what a disk is full of at some moment
        done = subprocess.run([*command, str(limit)], capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(str(collection.where))
        assert Collection.open(collection.where, model=embedder).check().sound
    undisturbed = Collection.create(tmp_path / "undisturbed", model=embedder)
    undisturbed.add(images)
    collection.add(images)
    assert rows_of(collection) == rows_of(undisturbed)


def test_a_folder_that_vanishes_fails_by_name(collection, images, tmp_path, embedder):
    for seed in range(100):
        draw(images / "more" / f"{seed:02}.png", 3000 + seed)
    embed = embedder.images

    def vanishing(files):
        if images.exists():
            images.rename(tmp_path / "elsewhere")
        return embed(files)

    embedder.images = vanishing
    report = collection.add(images)
    del embedder.images
    assert report.listed == 112
    assert report.embedded + len(report.failed) == 112
    assert report.failed
    assert all("No such file" in error for error in report.failed.values())
    (tmp_path / "elsewhere").rename(images)
    again = collection.add(images, retry_failed=True)
    assert again.embedded == len(report.failed)
    assert collection.info()["embedded"] == 112


def test_an_image_replaced_while_read_is_read_again(collection, images, tmp_path, embedder):
    embed = embedder.images

    def replacing(files):
        draw(images / "00.png", 777)
        return embed(files)

    embedder.images = replacing
    collection.add(images)
    del embedder.images
    assert collection.add(images).embedded == 1
    fresh = Collection.create(tmp_path / "fresh", model=embedder)
    fresh.add(images)
    assert rows_of(collection) == rows_of(fresh)


def test_a_folder_of_very_many_files_is_listed(collection, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(100_000):
        os.mknod(folder / f"{number}.txt")
    draw(folder / "one.png", 1)
    assert collection.add(folder).listed == 1
    shutil.rmtree(folder)
