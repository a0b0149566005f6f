"""The command `llm` embeds and searches image files by the plugin."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from environments import adapter


@pytest.fixture(scope="module")
def python() -> Path:
    return adapter("llm")


@pytest.fixture(autouse=True)
def _own_files(monkeypatch, tmp_path):
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path / "llm"))


@pytest.fixture
def llm(python):
    def call(*words: object, fails: bool = False) -> str:
        command = [python.with_name("llm"), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert bool(done.returncode) == fails, done.stderr
        return done.stderr if fails else done.stdout

    return call


def test_vectors_are_those_of_transformers(llm, tmp_path, images, texts, expected):
    rows = json.loads(llm("embed", "-m", "align-tiny", "-c", texts[0]))
    np.testing.assert_allclose(rows, expected["texts"][0], rtol=0, atol=1e-5)
    rows = json.loads(llm("embed", "-m", "align-tiny", "-i", images[0], "--binary"))
    np.testing.assert_allclose(rows, expected["images"][0], rtol=0, atol=1e-5)


def test_models_are_listed(llm):
    listed = llm("embed-models")
    assert all(f"AlignModel: {name}\n" in listed for name in ("align", "align-tiny", "align-emoji"))


def test_damaged_file_is_refused(llm, tmp_path, images):
    shutil.copy(images[0], tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    words = ["embed-multi", "files", "--files", tmp_path, "*.png", "--binary", "-m", "align-tiny"]
    assert "not an image" in llm(*words, "-d", tmp_path / "a.db", fails=True)


def test_example_finds_the_image(example, python):
    best = json.loads(example("llm", python)[-1])
    assert best["id"] == "red-star.png"
