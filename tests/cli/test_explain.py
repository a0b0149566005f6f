"""align-zoo explain: an image with the score, or one line that says what is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import align_zoo
from align_zoo.cli import app

STAR = Path(align_zoo.__file__).parent / "assets" / "samples" / "red-star.png"


def explain(*arguments):
    return CliRunner().invoke(app, ["explain", *map(str, arguments), "--model=align_tiny"])


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        pytest.param([], {}, id="text"),
        pytest.param(
            ["--against=a ring", "--size=98"], {"against": "a ring", "size": 98}, id="all"
        ),
    ],
)
def test_the_map_is_drawn_and_its_score_said(arguments, options, tmp_path):
    out = tmp_path / "out.png"
    done = explain(STAR, "a red star", "-o", out, *arguments)
    assert done.exit_code == 0, done.stderr
    encoder = align_zoo.load_encoder("align_tiny")
    heat = align_zoo.heatmap(encoder, STAR, "a red star", **options)
    assert done.stdout == f"{heat.summary()}; drawn to {out}\n"
    numbers = re.findall(r"-?\d\.\d{3}", done.stdout)
    scores = [heat.score, heat.usual_score][: len(numbers)]
    assert [float(number) for number in numbers] == pytest.approx(scores, abs=5e-4)
    with Image.open(out) as drawn:
        np.testing.assert_array_equal(np.asarray(drawn), np.asarray(heat.overlay()))


def test_both_scores_are_said_at_another_size(tmp_path):
    done = explain(STAR, "a red star", "-o", tmp_path / "out.png", "--size=98")
    assert re.match(r"cosine 0\.\d+ in 6 x 6 places, 0\.541 at the usual size; ", done.stdout)


def test_dark_ground_is_dark(tmp_path):
    explain(STAR, "a red star", "-o", tmp_path / "out.png", "--dark")
    with Image.open(tmp_path / "out.png") as drawn:
        assert np.asarray(drawn)[0].mean() < 128


@pytest.mark.parametrize(
    ("image", "out", "more", "words"),
    [
        ("gone.png", "out.png", [], "gone.png' does not exist"),
        (STAR, "out.txt", [], "out.txt has the ending of no image format; use .png"),
        (STAR, "no/folder/out.png", [], "out.png cannot be written: No such file or directory"),
        (STAR, "out.png", ["--size=8"], "this tower takes sides of 16 and more"),
        (STAR, "out.png", ["--size=9000"], "has more than 4,194,304 pixels; take a smaller one"),
    ],
    ids=["no-image", "no-format", "no-folder", "too-small", "too-large"],
)
def test_error_is_one_line(image, out, more, words, tmp_path):
    done = explain(tmp_path / image, "star", "-o", tmp_path / out, *more)
    assert done.exit_code == 1
    assert done.stderr.startswith("align-zoo: ") and done.stderr.count("\n") == 1
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []
