"""docs/python.md and docs/commands.md are those that the code writes."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import typer

import align_client
import align_zoo
from align_zoo.cli import app

DOCS = Path(__file__).parents[2] / "docs"
WRITE = runpy.run_path(str(DOCS / "reference.py"))


@pytest.mark.parametrize("page", ["python", "commands"])
def test_page_is_written_from_the_code(page):
    written = WRITE[page]()
    assert (DOCS / f"{page}.md").read_text(encoding="utf-8") == written, "run `make reference`"


def test_every_command_has_its_options():
    parts = re.split(r"^###+ `align-zoo (.+)`$", WRITE["commands"](), flags=re.MULTILINE)[1:]
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    group = typer.main.get_command(app)
    assert set(group.commands) == {name for name in found if " " not in name}
    for name, command in group.commands.items():
        for option in command.params:
            assert option.hidden or option.help in found[name]


def test_every_public_name_has_a_sentence():
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", WRITE["python"](), re.MULTILINE)
    assert [name for name, _ in rows] == [*align_zoo.__all__, *align_client.__all__]
    assert [name for name, sentence in rows if not sentence.endswith(".")] == []
