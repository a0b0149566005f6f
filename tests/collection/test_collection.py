"""A collection follows its sources, loses nothing, and finds what is asked for."""

from __future__ import annotations

import copy
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from image_folders import SAMPLES, draw, rows_of
from PIL import Image
from tries import tries

from align_zoo.collection.collection import Collection
from align_zoo.errors import AlignZooError, InvalidInput

pillow_heif.register_heif_opener()  # so that Pillow writes HEIC


def test_every_image_becomes_a_row(collection, images, embedder):
    (images / "broken.jpg").write_bytes(b"\xff\xd8\xffrubbish")
    report = collection.add(images)
    assert (report.listed, report.embedded, len(report.failed)) == (13, 12, 1)
    rows = rows_of(collection)
    assert sorted(rows) == sorted(map(str, images.rglob("*.*g")))
    assert "damaged" in rows[str(images / "broken.jpg")][2]
    expected = embedder.images([(images / "00.png").read_bytes()])[0]
    np.testing.assert_allclose(rows[str(images / "00.png")][3], expected, atol=1e-4)


def test_an_image_finds_itself(collection, images):
    collection.add(images)
    for path in images.rglob("*.png"):
        (hit,) = collection.search(str(path), k=1)
        assert (hit.path, round(hit.score, 4)) == (str(path), 1.0)
        assert (hit.columns["width"], hit.columns["height"]) == (40, 30)


def test_words_find_what_they_say(collection):
    collection.add(SAMPLES)
    for words in ("a red star", "a blue triangle", "a green ring"):
        name = "-".join(words.split()[1:]) + ".png"
        assert collection.search(words, k=1)[0].path.endswith(name)


def test_a_second_run_embeds_nothing(collection, images, embedder):
    (images / "broken.jpg").write_bytes(b"rubbish")
    collection.add(images)
    embedder.count = 0
    report = collection.add(images)
    assert (report.unchanged, report.embedded, report.failed) == (13, 0, {})
    assert embedder.count == 0


def test_new_and_changed_images_alone_are_embedded(collection, images, embedder):
    collection.add(images)
    embedder.count = 0
    draw(images / "new.png", 100)
    draw(images / "00.png", 101)
    report = collection.add(images)
    assert (report.embedded, report.unchanged, embedder.count) == (2, 11, 2)
    assert collection.search(str(images / "00.png"), k=1)[0].score == pytest.approx(1, abs=1e-4)
    assert len(rows_of(collection)) == 13


def test_moved_images_are_known_by_their_content(collection, images, embedder):
    collection.add(images)
    before = rows_of(collection)
    embedder.count = 0
    (images / "00.png").rename(images / "moved.png")
    os.utime(images / "moved.png")
    (images / "a").rename(images / "renamed")
    report = collection.add(images)
    assert (report.moved, report.embedded, report.gone, embedder.count) == (9, 0, 0, 0)
    after = rows_of(collection)
    assert after[str(images / "moved.png")] == before[str(images / "00.png")]
    assert sorted(after.values(), key=str) == sorted(before.values(), key=str)


def test_images_that_are_gone_are_forgotten_on_request(collection, images):
    collection.add(images)
    (images / "00.png").unlink()
    assert collection.add(images).gone == 1
    assert collection.add(images, prune=True).pruned == 1
    assert str(images / "00.png") not in rows_of(collection)


def test_another_source_is_not_pruned(collection, images, tmp_path):
    collection.add(images)
    other = draw(tmp_path / "other" / "o.png", 200).parent
    assert collection.add(other, prune=True).pruned == 0
    assert len(rows_of(collection)) == 13


def test_failed_images_alone_are_tried_again(collection, images, embedder):
    for i in range(5):
        (images / f"broken{i}.jpg").write_bytes(b"\xff\xd8\xff")
    assert len(collection.add(images).failed) == 5
    for i in range(3):
        state = (images / f"broken{i}.jpg").stat()
        draw(images / "fine.png", 300 + i).replace(images / f"broken{i}.jpg")
        os.utime(images / f"broken{i}.jpg", ns=(state.st_atime_ns, state.st_mtime_ns))
    embedder.count = 0
    report = collection.add(images, retry_failed=True)
    assert (report.embedded, len(report.failed), embedder.count) == (3, 2, 5)
    assert sum(row[2] is None for row in rows_of(collection).values()) == 15


def test_a_missing_extra_is_a_failure_by_name(collection, images, monkeypatch):
    image = Image.open(images / "00.png")
    image.save(images / "a.avif")
    image.save(images / "b.HEIC", "HEIF")
    (images / "c.jxl").write_bytes(b"\xff\x0a" + bytes(99))
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pillow_heif", None)
        failed = collection.add(images).failed
    assert failed.keys() == {str(images / "b.HEIC"), str(images / "c.jxl")}
    assert "needs the extra formats" in failed[str(images / "b.HEIC")]
    assert "a JPEG XL image" in failed[str(images / "c.jxl")]
    report = collection.add(images, retry_failed=True)
    assert (report.embedded, len(report.failed)) == (1, 1)
    assert rows_of(collection)[str(images / "b.HEIC")][4:] == (40, 30)


def test_names_of_any_bytes_are_kept(collection, images):
    names = [b"new\nline.png", b"quote'.png", b"bytes\xff.png", ("写" * 60 + ".png").encode()]
    for i, name in enumerate(names):
        draw(images / "x.png", 400 + i).rename(images / os.fsdecode(name))
    collection.add(images)
    assert collection.add(images).unchanged == 16
    for name in names:
        path = images / os.fsdecode(name)
        assert collection.search([str(path)], k=1)[0].path == str(path)
        path.unlink()
    assert collection.add(images, prune=True).pruned == 4


def test_a_condition_narrows_a_search(collection, images):
    (images / "t.csv").write_text(
        "path,title\n"
        + "".join(
            f"{p.relative_to(images)},t{i}\n" for i, p in enumerate(sorted(images.rglob("*.png")))
        )
    )
    collection.add(images / "t.csv")
    (hit,) = collection.search("star", where="title = 't3' and width > 10", all=True)
    assert hit.columns["title"] == "t3"
    assert len(collection.search("star", where="path like '%/a/%'", all=True)) == 8
    assert collection.search("star", where="width > 100") == []
    with pytest.raises(InvalidInput, match=r"there are the columns .*title"):
        collection.search("star", where="heigth > 1")


def test_another_checkpoint_is_refused_by_name(collection, embedder):
    other = copy.copy(embedder)
    other.fingerprint = "another"
    with pytest.raises(AlignZooError, match=f"of the checkpoint {collection.fingerprint}, and"):
        Collection.open(collection.where, model=other)


def test_a_second_writer_is_refused(collection, images):
    with collection._writer(), pytest.raises(AlignZooError, match="another process writes to"):
        Collection.open(collection.where).add(images)
    assert collection.add(images).embedded == 12


@pytest.mark.parametrize("there", ["file", "full", "collection"])
def test_collection_is_created_in_a_new_folder_only(tmp_path, embedder, there):
    place = tmp_path / "c"
    if there == "file":
        place.write_text("")
    elif there == "full":
        draw(place / "a.png", 0)
    else:
        Collection.create(place, model=embedder)
    with pytest.raises(AlignZooError, match=r"is not empty|is a collection already"):
        Collection.create(place, model=embedder)


def test_no_collection_is_told_with_the_way_out(tmp_path):
    with pytest.raises(AlignZooError, match=r"there is no collection at .*align-zoo index"):
        Collection.open(tmp_path / "gone")


def test_many_small_additions_leave_few_files(collection, tmp_path):
    for i in range(40):
        collection.add(draw(tmp_path / f"{i}.png", i))
    files = [name for _, _, names in os.walk(collection.where) for name in names]
    assert len(files) <= 40
    assert collection.info()["rows"] == 40
    collection.optimize()
    assert collection.info()["fragments"] == 1


def test_readers_are_undisturbed_while_rows_come(collection, images, tmp_path, embedder):
    collection.add(images)
    vector = embedder.texts(["star"])[0]
    stop, errors = threading.Event(), []

    def read():
        reader = Collection.open(collection.where, model=embedder)
        while not stop.is_set():
            try:
                assert len(reader.search(vector, k=12)) == 12
            except Exception as error:
                errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for each in readers:
        each.start()
    try:
        for i in range(25):
            collection.add(draw(tmp_path / f"{i}.png", i + 50))
    finally:
        stop.set()
        for each in readers:
            each.join()
    assert errors == []


def test_lost_index_of_paths_is_rebuilt(collection, images, embedder):
    collection.add(images)
    next(Path(collection.where).glob("work/*/state.sqlite")).write_bytes(b"rubbish" * 1000)
    embedder.count = 0
    assert collection.add(images).unchanged == 12
    assert embedder.count == 0


KILLED = textwrap.dedent(
    """
    import sys
    from align_zoo.collection import engines, shards, writer
    from align_zoo.collection.collection import Collection
    shards.SHARD = 8
    writer._SHARDS_A_COMMIT = 2
    computed = shards.embed_shard
    def embed_shard(shard, *rest):
        rows = computed(shard, *rest)
        with open(sys.argv[3], "a") as log:
            print(*(item.path for item in shard.items), sep="\\n", file=log)
        return rows
    engines.embed_shard = embed_shard
    collection = Collection.open(sys.argv[1], model="align_tiny")
    print("begun", flush=True)
    collection.add(sys.argv[2])
    """
)


def test_a_killed_run_goes_on_where_it_was(tmp_path, embedder, images):
    for seed in range(60):
        draw(images / "more" / f"{seed}.png", 1000 + seed)
    (images / "broken.png").write_bytes(b"rubbish")
    undisturbed = Collection.create(tmp_path / "undisturbed", model=embedder)
    begun = time.monotonic()
    undisturbed.add(images)
    taken = time.monotonic() - begun
    chance, kills, rounds = random.Random(0), 0, 0
    wanted = tries(52, short=4)
    while kills < wanted:
        rounds += 1
        killed = Collection.create(tmp_path / f"killed-{rounds}", model=embedder)
        log = tmp_path / f"computed-{rounds}"
        command = [sys.executable, "-c", KILLED, killed.where, images, log]
        before = kills
        while True:
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout.readline() == "begun\n"
                try:
                    process.wait(chance.uniform(0, 2 * taken) if kills < wanted else 200)
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    kills += 1
                    continue
            assert process.returncode == 0
            break
        assert rows_of(killed) == rows_of(undisturbed)
        computed = log.read_text().splitlines()
        # Only the shard that a run was at may have been computed twice.
        assert len(computed) - len(set(computed)) <= 8 * (kills - before)
