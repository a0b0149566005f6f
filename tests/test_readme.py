"""The README's snippets run as written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import align_zoo
from align_zoo.serving.model.settings import DEFAULT_MODEL

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_timm_snippet_runs(capsys):
    (snippet,) = (code for code in SNIPPETS if "import timm" in code)
    exec(compile(snippet, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "(1, 16, 24, 24)" in printed
    row = re.search(r"tensor\(\[\[([\d.e+-]+), ([\d.e+-]+), ([\d.e+-]+)\]\]\)", printed)
    assert row is not None
    assert float(row[1]) > 0.9


def test_the_runtime_snippet_runs(capsys):
    (snippet,) = (code for code in SNIPPETS if "load_encoder" in code)
    exec(compile(snippet, "README.md", "exec"), {})
    logits, predictions = capsys.readouterr().out.splitlines()
    runtime, star, ring = re.fullmatch(r"(\w+) \[\[\s*(\S+)\s+(\S+?)\s*\]\]\s*", logits).groups()
    assert runtime == "onnx"
    assert float(star) > float(ring)
    assert predictions.startswith("[Prediction(label='star', score=0.9")


def test_the_client_snippet_runs(server, capsys):
    (snippet,) = (code for code in SNIPPETS if "AlignClient" in code)
    exec(compile(snippet.replace("localhost:8001", server.grpc_url), "README.md", "exec"), {})
    best, other = capsys.readouterr().out.splitlines()
    assert best.startswith("red star")
    assert other.startswith("blue ring")


def test_the_names_it_uses_are_true():
    assert f"| `ALIGN_ZOO_MODEL` | hub id, folder or `align_tiny` | `{DEFAULT_MODEL}` |" in README
    for command in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert f"\n{command}:" in (ROOT / "Makefile").read_text()
    assert all(hasattr(align_zoo, name) for name in re.findall(r"align_zoo\.(create_\w+)", README))
