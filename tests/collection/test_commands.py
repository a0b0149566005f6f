"""The commands about your own images: what they print, and their exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from image_folders import SAMPLES
from PIL import Image
from typer.testing import CliRunner
from waiting import wait_until

import align_zoo
from align_zoo.cli import app

COMMAND = [sys.executable, "-m", "align_zoo"]
MODEL = "--model=align_tiny"
COPIES = 3_000
"""So many that a run takes seconds."""


def run(*arguments, code=0, input=None):
    """Run a command in this process: a new one takes seconds to import what this one has."""
    done = CliRunner().invoke(app, [*map(os.fspath, arguments)], input=input)
    assert done.exit_code == code, done.stderr
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.stdout_bytes, done.stderr


def lines(out):
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """The shipped samples and a collection of them."""
    folder = tmp_path_factory.mktemp("samples")
    shutil.copytree(SAMPLES, folder / "images")
    run("index", folder / "images", folder / "collection", MODEL)
    return folder


def test_labels_are_those_of_the_encoder(samples):
    labels = ["red star", "blue triangle", "three"]
    out, _ = run("classify", samples / "images", f"--labels={','.join(labels)}", "--top-k=2", MODEL)
    rows = lines(out)
    encoder = align_zoo.load_encoder("align_tiny")
    for path in sorted((samples / "images").glob("*.png")):
        expected = encoder.classify(str(path), labels, top_k=2)
        found = [(row["label"], row["score"]) for row in rows if row["path"] == str(path)]
        assert [label for label, _ in found] == [label for label, _ in expected]
        np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], atol=1e-5)


def test_failed_image_is_a_row_and_code_2(samples, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff")
    gone = tmp_path / "gone.png"
    names = f"{gone}\n{broken}\n{samples}/images/red-star.png\n".encode()
    out, err = run("classify", "-", "--labels=red star,three", MODEL, input=names, code=2)
    zeroth, first, second = lines(out)
    assert (zeroth["path"], "cannot be read" in zeroth["error"]) == (str(gone), True)
    assert (first["path"], "damaged" in first["error"]) == (str(broken), True)
    assert second["label"] == "red star"
    assert str(broken) in err


def test_labels_file_equals_labels_option(samples, tmp_path):
    (tmp_path / "labels.txt").write_text("red star\n\n three \n")
    star = samples / "images" / "red-star.png"
    given, _ = run("classify", star, "--labels=red star, three", "--top-k=2", MODEL)
    read, _ = run("classify", star, f"--labels-file={tmp_path / 'labels.txt'}", "--top-k=2", MODEL)
    assert read == given
    _, err = run("classify", star, f"--labels-file={tmp_path / 'gone.txt'}", MODEL, code=1)
    assert "gone.txt cannot be read" in err


def test_another_label_takes_what_fits_none(samples):
    star = samples / "images" / "red-star.png"
    out, _ = run("classify", star, "--labels=three", "--none=red star", MODEL)
    assert lines(out)[0]["label"] == "red star"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "give --labels or --labels-file"),
        (["--labels=a", "--json", "--csv"], "exclude each other"),
        (["--labels=a", "--template=x"], "needs {} exactly once"),
        (["--labels=a", "--template={}", "--prompts=photo"], "exclude each other"),
    ],
)
def test_wrong_options_are_refused_in_words(samples, flags, words):
    _, err = run("classify", samples / "images", *flags, MODEL, code=1)
    assert err.startswith("align-zoo: ") and words in err


def test_a_search_answers_in_each_form(samples):
    where, star = samples / "collection", str(samples / "images" / "red-star.png")
    out, _ = run("search", where, "a", "red", "star", "-n3", "--all")
    rows = lines(out)
    assert len(rows) == 3 and rows[0]["path"] == star and rows[0]["score"] > rows[1]["score"]
    out, _ = run("search", where, "red star", "-n1", "--paths")
    assert out == os.fsencode(star) + b"\n"
    out, _ = run("search", where, "red star", "-n1", "-0")
    assert out == os.fsencode(star) + b"\0"
    out, _ = run("search", where, "red star", "-n1", "--csv")
    (row,) = csv.DictReader(io.StringIO(out.decode()))
    assert (row["path"], row["score"][:3]) == (star, str(rows[0]["score"])[:3])


def test_a_search_without_hits_is_code_1(samples):
    out, _ = run("search", samples / "collection", "star", "--where=width > 100000", code=1)
    assert out == b""


def test_a_contact_sheet_shows_the_hits(samples, tmp_path):
    sheet = tmp_path / "sheet.png"
    _, err = run("search", samples / "collection", "a red star", "-n3", "--all", f"--sheet={sheet}")
    assert f"drawn to {sheet}" in err
    with Image.open(sheet) as image:
        assert image.width > 600
        red = (np.asarray(image.convert("RGB")).astype(int) @ [1, -1, -1] > 80).sum()
    assert red > 1000


@pytest.mark.parametrize("name", ["x.nonsense", "gone/x.png"])
def test_a_sheet_that_cannot_be_drawn_is_named(samples, tmp_path, name):
    _, err = run("search", samples / "collection", "red star", f"--sheet={tmp_path / name}", code=1)
    assert name in err and "Traceback" not in err


def test_counts_and_the_next_command_are_shown(samples):
    _, err = run("index", samples / "images", samples / "collection")
    count = len(list(SAMPLES.glob("*.png")))
    assert f"{count} images: {count} unchanged; search by: align-zoo search" in err


def test_a_collections_facts_are_shown(samples):
    out, _ = run("collection", "info", samples / "collection")
    about = json.loads(out)
    assert (about["rows"], about["model"]) == (len(list(SAMPLES.glob("*.png"))), "align_tiny")
    run("collection", "optimize", samples / "collection")


def test_an_interrupted_index_keeps_what_is_done(images, tmp_path):
    count = 12 + COPIES
    (images / "more").mkdir()
    for number in range(COPIES):
        shutil.copy(SAMPLES / "red-star.png", images / "more" / f"{number:04}.png")
    where = tmp_path / "collection"
    process = subprocess.Popen(
        [*COMMAND, "index", images, where, MODEL], stderr=subprocess.PIPE, text=True
    )
    work = where / "work"
    wait_until(lambda: list(work.glob("*/*.parquet")) or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "interrupted; what is finished is kept" in err) == (130, True)
    kept = json.loads(run("collection", "info", where)[0])["rows"]
    assert 0 < kept < count
    _, err = run("index", images, where)
    assert f"{count - kept} embedded, {kept} unchanged" in err


def test_embeddings_are_written_by_the_command(images, tmp_path):
    _, err = run("embed", images, "-o", tmp_path / "v.npy", "--dtype=float16", MODEL)
    assert "12 images: 12 embedded; written to" in err
    assert np.load(tmp_path / "v.npy").shape == (12, 128)


def test_copies_are_listed_the_best_first(samples, tmp_path):
    star = samples / "images" / "red-star.png"
    for name in ("a", "b"):
        Image.open(star).convert("RGB").save(tmp_path / f"{name}.jpg", quality=80)
    collection = tmp_path / "collection"
    run("index", tmp_path, collection, MODEL)
    out, told = run("dedupe", collection)
    rows = lines(out)
    assert [(row["group"], row["best"]) for row in rows] == [(1, True), (1, False)]
    assert "1 groups with 1 copies" in told
    out, _ = run("dedupe", collection, "--others", "--paths", "-0")
    assert out == os.fsencode(tmp_path / "b.jpg") + b"\0"
    run("dedupe", samples / "collection", code=1)


def test_labels_become_columns(samples, tmp_path):
    shutil.copytree(samples / "collection", tmp_path / "collection")
    out, _ = run("label", tmp_path / "collection", "--labels=red star, three", "--column=thing")
    assert {row["label"] for row in lines(out)} == {"red star", "three"}
    where = "--where=thing = 'red star' and thing_score > 0.5"
    out, _ = run("search", tmp_path / "collection", "red star", where, "-n1", "--fold-duplicates")
    assert lines(out)[0]["path"].endswith("red-star.png")


def test_damage_is_named_and_repaired(samples, tmp_path):
    collection = tmp_path / "collection"
    shutil.copytree(samples / "collection", collection)
    _, told = run("collection", "check", collection)
    assert "rows, all sound" in told
    (data,) = collection.glob("*.lance/data/*.lance")
    os.truncate(data, data.stat().st_size // 2)
    _, told = run("collection", "check", collection, code=2)
    assert "red-star.png: the row cannot be read" in told
    run("collection", "check", collection, "--repair")
    _, told = run("collection", "check", collection)
    assert "0 rows, all sound" in told
    _, told = run("index", samples / "images", collection)
    assert "embedded" in told
