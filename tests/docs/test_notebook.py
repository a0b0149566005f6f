"""The notebook runs from its first cell to its last, and is committed without outputs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PATH = DOCS / "notebooks" / "align.ipynb"


@pytest.fixture
def notebook():
    import nbformat  # seconds, which each process of a run would pay

    return nbformat.read(PATH, as_version=4)


def test_notebook_has_no_outputs(notebook):
    import nbformat

    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in cells] == [[]] * len(cells)
    assert {cell.execution_count for cell in cells} == {None}


def test_notebook_runs(notebook, tmp_path):
    from nbclient import NotebookClient

    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}})
    client.execute()
    assert notebook.cells[-1].outputs[-1]["data"].keys() >= {"image/png"}


def test_notebook_asks_nothing_of_a_network(notebook):
    source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert re.findall(r"https?://|requests|urlopen", source) == []
