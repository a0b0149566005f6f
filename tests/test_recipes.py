"""The recipes of docs/recipes.md that need no server run as written."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
ASKS_A_SERVER = {
    "By curl: texts as JSON",
    "By curl: an image as bytes",
    "TLS with a trial certificate",
}


def recipes() -> dict[str, list[tuple[str, str]]]:
    """Return the blocks of each recipe by its heading: pairs of language and text."""
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)[1:]
    return {
        heading: re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
        for heading, text in zip(parts[::2], parts[1::2], strict=True)
    }


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a recipe's blocks in an empty folder beside the samples; return what Python prints."""
    (tmp_path / "align_zoo").mkdir()
    (tmp_path / "align_zoo" / "assets").symlink_to(ROOT / "align_zoo" / "assets")
    monkeypatch.chdir(tmp_path)
    beside_python = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": beside_python}

    def run_recipe(heading: str) -> str:
        for language, block in recipes()[heading]:
            if language == "python":
                exec(compile(block, heading, "exec"), {})
            else:
                subprocess.run(["bash", "-euc", block], check=True, env=env)
        return capsys.readouterr().out

    return run_recipe


def test_folder_becomes_csv(run, tmp_path):
    run("A folder of images to CSV")
    with (tmp_path / "labels.csv").open(newline="") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    assert len(rows) == len(list((ROOT / "align_zoo/assets/samples").glob("*.png")))
    assert rows["red-star.png"]["label"] == "red star"
    assert 0.9 < float(rows["red-star.png"]["score"]) <= 1
    assert not any(row["error"] for row in rows.values())


def test_vectors_become_npy(run, tmp_path):
    assert run("Vectors to .npy").strip().endswith("red-star.png")
    images = np.load(tmp_path / "images.npy")
    assert len(images) == len((tmp_path / "images.txt").read_text().splitlines())
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)


def test_vector_database_finds_the_image(run):
    best, *others = run("A folder of images in a vector database").splitlines()
    assert best.endswith("red-star.png")
    assert len(others) == 2
    assert float(best.split()[0]) > float(others[0].split()[0])


def test_baked_classifier_becomes_onnx(run):
    assert run("A baked classifier to ONNX").splitlines()[-1] == "red star"


def test_pyramid_levels_share_channels(run):
    lines = run("A feature pyramid for a detector").splitlines()
    assert len(lines) > 2
    assert all(re.match(r"stride \d+ \(2, 64, ", line) for line in lines)


def test_auto_device_says_its_runtime(run):
    assert re.match(r"(onnx|torch) \(threads: \d+\): ", run("A GPU"))


def test_every_recipe_has_a_test():
    tests = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{heading}"' in tests for heading in recipes())
    served = (ROOT / "tests/serving/gateway/test_gateway_recipes.py").read_text(encoding="utf-8")
    assert all(f'"{heading}"' in served for heading in ASKS_A_SERVER)
