"""The model repository, as a checkout has it and as a wheel carries it."""

from pathlib import Path

import pytest

import align_zoo
from align_zoo.serving.triton.command import default_repository

CHECKOUT = Path(__file__).parents[2]


def files(folder):
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def test_a_checkouts_repository_comes_first(monkeypatch):
    monkeypatch.chdir(CHECKOUT)
    assert default_repository().resolve() == CHECKOUT / "model_repository"


def test_packaged_repository_is_the_fallback(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_repository().is_relative_to(Path(align_zoo.__file__).parent)
    assert files(default_repository()) == files(CHECKOUT / "model_repository")


@pytest.mark.parametrize("model", ["align_image", "align_text"])
def test_model_py_holds_no_logic(model):
    source = (CHECKOUT / "model_repository" / model / "1" / "model.py").read_text()
    assert len(source.splitlines()) < 25
    assert not any(f"\n{word} " in source for word in ("    if", "    for"))
    tops = [line.split()[1] for line in source.splitlines() if line.startswith(("import", "from"))]
    assert tops == ["os", "typing"]  # what is heavy comes with initialize()
