"""What neighbours may move is taken from one module, which names the version that moved it."""

from __future__ import annotations

import ast
import re
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import align_zoo
from align_zoo import AlignZooError
from align_zoo.towers import neighbours

SOURCES = [
    *Path(align_zoo.__file__).parent.rglob("*.py"),
    *(Path(__file__).parents[2] / "client" / "align_client").rglob("*.py"),
]
ALLOWED = {
    # An alias that torch itself uses as the base of all BatchNorms, and documents in its FAQ.
    ("training/recipe.py", "torch.nn.modules.batchnorm._BatchNorm"),
}


def private_imports(path: Path) -> set[str]:
    """Imported names of other packages with a part that starts with an underscore."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and not node.level:
            found |= {f"{node.module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
    private = {name for name in found if re.search(r"(^|\.)_(?!_)", name)}
    return {name for name in private if name.partition(".")[0] not in sys.stdlib_module_names}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_module_imports_a_neighbours_private_name(path):
    allowed = {name for where, name in ALLOWED if str(path).endswith(where)}
    assert private_imports(path) == allowed


@pytest.mark.parametrize("name", neighbours.__all__)
def test_a_name_is_the_neighbours_own(name):
    assert callable(getattr(neighbours, name))


@pytest.mark.parametrize("name", neighbours.__all__)
def test_moved_name_error_gives_version_and_way_out(name, monkeypatch):
    package, module, seen = neighbours._PLACES[name]
    monkeypatch.delattr(neighbours, name, raising=False)
    monkeypatch.delattr(import_module(module), name)
    told = (
        rf"{package} {re.escape(version(package))} has no .*{name}.*pip install '{package}=={seen}"
    )
    with pytest.raises(AlignZooError, match=told):
        getattr(neighbours, name)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        neighbours.absent  # noqa: B018
