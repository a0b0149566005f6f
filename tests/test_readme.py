"""The snippets of the README, of docs/library.md and of docs/collections.md run as written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import align_zoo
from align_zoo.serving.model.settings import DEFAULT_MODEL

ROOT = Path(__file__).parents[1]
README, LIBRARY, SERVING, COLLECTIONS = (
    (ROOT / page).read_text(encoding="utf-8")
    for page in ("README.md", "docs/library.md", "docs/serving.md", "docs/collections.md")
)


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


def snippets(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def run(page: str, words: str, **replaced: str) -> None:
    """Run the page's only snippet with these words."""
    (snippet,) = (code for code in snippets(page) if words in code)
    for address, ours in replaced.items():
        snippet = snippet.replace(address, ours)
    exec(compile(snippet, words, "exec"), {})


def test_the_timm_snippet_of_the_readme_runs(capsys):
    run(README, "import timm")
    printed = capsys.readouterr().out
    assert "(1, 16, 24, 24)" in printed
    row = re.search(r"tensor\(\[\[([\d.e+-]+), ([\d.e+-]+)\]\]\)", printed)
    assert row is not None
    assert float(row[1]) > 0.9


def test_the_encoder_snippet_of_the_readme_runs(capsys):
    run(README, "load_encoder")
    best, other = capsys.readouterr().out.splitlines()
    assert best.startswith("red star")
    assert other.startswith("blue ring")


def test_the_client_snippet_of_the_readme_runs(server, capsys):
    run(README, "AlignClient", **{"localhost:8001": server.grpc_url})
    best, other = capsys.readouterr().out.splitlines()
    assert best.startswith("red star")
    assert other.startswith("blue ring")


def test_the_timm_snippet_of_the_library_runs(capsys):
    run(LIBRARY, "import timm")
    printed = capsys.readouterr().out
    assert "(1, 16, 24, 24)" in printed
    row = re.search(r"tensor\(\[\[([\d.e+-]+), ([\d.e+-]+), ([\d.e+-]+)\]\]\)", printed)
    assert row is not None
    assert float(row[1]) > 0.9


def test_the_runtime_snippet_of_the_library_runs(capsys):
    run(LIBRARY, "load_encoder")
    logits, predictions = capsys.readouterr().out.splitlines()
    runtime, star, ring = re.fullmatch(r"(\w+) \[\[\s*(\S+)\s+(\S+?)\s*\]\]\s*", logits).groups()
    assert runtime == "onnx"
    assert float(star) > float(ring)
    assert predictions.startswith("[Prediction(label='star', score=0.9")


def test_the_snippet_of_the_collections_runs(capsys, tmp_path):
    run(COLLECTIONS, "Collection.create", **{"samples.collection": str(tmp_path / "c")})
    count, best = capsys.readouterr().out.splitlines()
    assert count == "11 images, 0 failed"
    assert best.endswith("red-star.png")


def test_no_snippet_is_left_out():
    assert len(snippets(COLLECTIONS)) == 1
    assert len(snippets(README)) == 3
    assert len(snippets(LIBRARY)) == 2


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 160
    assert all(len(code.splitlines()) <= 10 for code in snippets(README))


def test_the_names_the_pages_use_are_true():
    models = "hub id, folder, `align_tiny` or `align_emoji`"
    assert f"| `ALIGN_ZOO_MODEL` | {models} | `{DEFAULT_MODEL}` |" in SERVING
    for command in re.findall(r"^make (\w+)|`make ([\w-]+)", README, re.MULTILINE):
        assert f"\n{''.join(command)}:" in (ROOT / "Makefile").read_text()
    names = re.findall(r"align_zoo\.(\w+)\(", README + LIBRARY)
    names += re.findall(r"`(create_\w+)\(", README + LIBRARY)
    assert all(hasattr(align_zoo, name) for name in names)
