"""``align-zoo evaluate``: arguments in, lines and files out."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from align_zoo.checkpoint.folder import EMBEDDED
from align_zoo.cli import app
from align_zoo.cli.data import evaluate


def run(*arguments, **environment):
    return CliRunner(env=environment).invoke(app, ["evaluate", *map(str, arguments)])


def test_a_folder_of_classes_is_classified(shapes, tmp_path):
    done = run(shapes, "--model=align_tiny", f"--out={tmp_path}", "--templates=a {}")
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text())
    title, shares, where = done.stdout.splitlines()
    assert title == "zero-shot classification, align_tiny, 360 images"
    assert shares.startswith(f"top-1 {report['top1']:.1%}   top-5 ")
    assert where == f"written to {tmp_path}"
    assert "360/360" in done.stderr
    assert (tmp_path / "confusion.png").exists()


@pytest.mark.parametrize("suffix", [".json", ".csv"])
def test_captions_are_retrieved(captions, tmp_path, suffix):
    done = run(captions.with_suffix(suffix), "--model=align_tiny", f"--out={tmp_path}")
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["task"] == "image-text retrieval"
    share = report["text_to_image"]["R@1"]
    assert f"text to image: R@1 {share:.1%}   R@5 " in done.stdout
    assert not (tmp_path / "confusion.png").exists()


def test_broken_images_are_counted(captions, tmp_path):
    (tmp_path / "captions.csv").write_text(f"image,caption\na.png,a cat\n{captions},a dog\n")
    sound = captions.parent / "images" / "0.png"
    with (tmp_path / "captions.csv").open("a") as file:
        file.write(f"{sound},a red circle\n")
    done = run(tmp_path / "captions.csv", "--model=align_tiny", f"--out={tmp_path}")
    assert "images that cannot be read: 2, named in the report" in done.stdout
    assert "R@5 -" in done.stdout


def test_error_is_one_line(tmp_path):
    done = run(tmp_path / "nowhere", "--model=align_tiny", f"--out={tmp_path}")
    assert done.exit_code == 1
    assert done.stderr == f"align-zoo: {tmp_path / 'nowhere'} does not exist\n"
    assert not done.stdout


def test_written_report_succeeds_despite_full_stdout(captions, tmp_path, monkeypatch):
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        evaluate(captions, model="align_tiny", out=tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["images"] == 80


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """A hub's cache that has one commit of a checkpoint, by the name of a branch."""
    repository = tmp_path / "hub" / "models--some--align"
    commit = "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(EMBEDDED["align_tiny"], repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "pinned").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return "--model=some/align"


def test_revision_of_a_hub_id_is_evaluated(cached, captions, tmp_path):
    options = [captions, cached, f"--out={tmp_path / 'out'}"]
    assert "some/align is neither a local folder nor in the hub" in run(*options).stderr
    for done in (run(*options, "--revision=pinned"), run(*options, ALIGN_ZOO_REVISION="pinned")):
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith("image-text retrieval, some/align, 80 images")


def test_wrong_usage_is_2(shapes):
    assert run(shapes, "--batch-size=0").exit_code == 2
    assert run().exit_code == 2
