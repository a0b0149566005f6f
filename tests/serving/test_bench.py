"""`align-zoo bench`: what it sends, what it tells, and that on a real server."""

import io
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from align_client import AlignClient
from align_zoo import AlignZooError
from align_zoo.cli import app
from align_zoo.serving.tools.bench import BenchOptions, bench
from align_zoo.serving.tools.bench_inputs import (
    Checked,
    WrongAnswer,
    drawn_photo,
    encoded_images,
    new_labels,
)
from align_zoo.serving.tools.bench_report import Report
from align_zoo.serving.tools.callers import Load

ALIGN_ZOO = Path(sys.executable).with_name("align-zoo")


def test_answer_unlike_the_first_is_wrong():
    vectors = np.eye(4, dtype=np.float32)
    answers = {"a": vectors[:1], "b": vectors[1:2]}
    check = Checked(lambda item: answers[item], ["a", "b"])
    for number in range(4):
        check(number)
    answers["b"] = answers["a"]
    check(4)
    with pytest.raises(WrongAnswer):
        check(5)


@pytest.mark.parametrize("noise", [0.0, 1e-4])
def test_rounding_is_no_wrong_answer(noise):
    answers = itertools.cycle([np.array([[1.0, 0.0]]), np.array([[1.0, noise]])])
    check = Checked(lambda _: next(answers), ["a"])
    check(0)
    check(1)


def test_answer_merely_close_to_the_first_is_wrong():
    answers = iter([np.array([[1.0, 0.0]]), np.array([[0.999, 0.0447]])])
    check = Checked(lambda _: next(answers), ["a"])
    check(0)
    with pytest.raises(WrongAnswer):
        check(1)


def test_no_number_at_all_is_a_wrong_answer():
    answers = iter([np.ones((1, 1)), np.full((1, 1), np.nan)])
    check = Checked(lambda _: next(answers), ["a"])
    check(0)
    with pytest.raises(WrongAnswer):
        check(1)


def test_new_labels_are_new_every_time():
    assert len({*new_labels(1000), *new_labels(1000)}) == 2000


def test_drawn_photo_has_size_and_weight_of_photo():
    data = drawn_photo(640, 480)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.size) == ("JPEG", (640, 480))
    assert 0.15 < len(data) / (640 * 480) < 1


def test_a_folders_images_are_found_below_it(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "one.JPG").write_bytes(drawn_photo(64, 48))
    (tmp_path / "notes.txt").write_text("not an image")
    (found,) = encoded_images(tmp_path).values()
    assert found == [drawn_photo(64, 48)]


def test_only_200_images_of_folder_are_loaded(tmp_path):
    (tmp_path / "000.png").mkdir()
    for number in range(1, 203):
        (tmp_path / f"{number:03}.png").write_bytes(b"%d" % number)
    (found,) = encoded_images(tmp_path).values()
    assert found == [b"%d" % number for number in range(1, 201)]


@pytest.mark.parametrize(("folder", "why"), [("", "holds no images"), ("x", "there is no folder")])
def test_no_images_are_named(tmp_path, folder, why):
    with pytest.raises(AlignZooError, match=why) as error:
        encoded_images(tmp_path / folder)
    assert str(tmp_path / folder) in str(error.value)


def report(*loads):
    served = {"checkpoint": "aa", "width": 8, "image": "onnx", "text": "onnx"}
    client = {"cpu": "x", "cores": 2, "python": "3"}
    return Report("here:1", served, client, len(loads), [("work", load) for load in loads])


ANSWERED = Load(1, 10, 5.0, 1.0, 2.0, 3.0, {})


@pytest.mark.parametrize(
    ("load", "sound"),
    [
        (ANSWERED, True),
        (Load(1, 10, 5.0, 1.0, 2.0, 3.0, {"Overloaded": 3}), True),
        (Load(1, 10, 5.0, 1.0, 2.0, 3.0, {"WrongAnswer": 1}), False),
        (Load(1, 0, 0.0, np.nan, np.nan, np.nan, {"ServerUnavailable": 9}), False),
    ],
)
def test_wrong_or_missing_answers_are_not_sound(load, sound):
    assert report(ANSWERED, load).sound is sound


def test_report_without_answers_is_valid_json():
    rows = report(Load(1, 0, 0.0, np.nan, np.nan, np.nan, {"Overloaded": 2})).content()["rows"]
    (row,) = json.loads(json.dumps(rows, allow_nan=False))
    assert (row["p50"], row["per_second"], row["errors"]) == (None, 0.0, {"Overloaded": 2})


def test_bench_measures_a_running_server(server, tmp_path, images):
    (tmp_path / "mine").mkdir()
    for i, data in enumerate(images):
        (tmp_path / "mine" / f"{i}.png").write_bytes(data)
    command = ["bench", server.grpc_url, "--seconds=0.05", "--concurrency=1", "--concurrency=3"]
    files = [f"--images={tmp_path / 'mine'}", f"--json={tmp_path / 'found.json'}"]
    done = CliRunner().invoke(app, [*command, *files])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "found.json").read_text())
    with AlignClient(server.grpc_url) as client:
        width = client.embed_text("a").shape[1]
    assert found["complete"]
    assert found["served"]["width"] == width
    assert found["served"]["image"].startswith("onnx")
    assert found["served"]["text"].startswith("onnx")
    assert found["served"]["checkpoint"] in done.stdout
    assert [(row["what"], row["concurrency"]) for row in found["rows"]] == [
        ("an image of mine", 1),
        ("an image of mine", 3),
        ("a new label", 1),
        ("a new label", 3),
        ("a label seen before", 1),
        ("a label seen before", 3),
        ("an image among 1000 new labels", 1),
        ("an image among the same 1000", 1),
    ]
    for row in found["rows"]:
        assert row["count"] >= 1
        assert row["errors"] == {}
        assert 0 < row["p50"] <= row["p95"] <= row["p99"]
    cold, warm = found["rows"][-2:]
    assert cold["count"] == 1
    assert warm["p50"] < cold["p50"]


def test_refused_image_is_counted_by_its_error(server, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    console = Console(file=io.StringIO(), width=200)
    options = BenchOptions(server.grpc_url, tmp_path, concurrency=(1,), seconds=0.01)
    assert bench(options, console) == 1
    assert " InvalidInput" in console.file.getvalue()
    assert "NOT SOUND" in console.file.getvalue()


def test_ctrl_c_prints_what_was_measured_so_far(server):
    command = [str(ALIGN_ZOO), "bench", server.grpc_url, "--seconds=1", "--concurrency=1"]
    # A script's children would ignore Ctrl-C without it.
    process = subprocess.Popen(
        ["env", "--default-signal=INT", *command],
        env={**os.environ, "TTY_COMPATIBLE": "1"},  # the bar on stderr is drawn as it goes on
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    seen = ""
    while "1/6" not in seen:
        seen += process.stderr.read(1) or pytest.fail(seen)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    output = re.sub(r"\x1b\[[0-9;]*m", "", output)
    assert re.search(r"stopped: [1-5] of 6 measurements were made", output)
    assert "a shipped" in output  # the name goes on in the next line


def test_no_server_is_1_and_one_sentence():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{unused.getsockname()[1]}"
        done = CliRunner().invoke(app, ["bench", url])
    assert done.exit_code == 1
    assert done.stderr.startswith(f"align-zoo: {url} cannot be reached")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("file", "why"),
    [("nowhere/found.json", "there is no such folder"), ("", "is a folder; results go to a file")],
)
def test_unwritable_file_is_named_before_measuring(tmp_path, file, why):
    with pytest.raises(AlignZooError, match=why) as error:
        bench(BenchOptions("localhost:1", json=tmp_path / file), Console(file=io.StringIO()))
    assert str(tmp_path / file) in str(error.value)


def test_full_disk_is_one_sentence_after_the_table(server, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    console = Console(file=io.StringIO(), width=200)
    full = Path("/dev/full")
    options = BenchOptions(server.grpc_url, tmp_path, concurrency=(1,), seconds=0.01, json=full)
    with pytest.raises(AlignZooError, match="/dev/full cannot be written: No space left"):
        bench(options, console)
    assert " InvalidInput" in console.file.getvalue()
