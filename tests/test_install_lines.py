"""What documents and messages say to install is there: in the checkout, not on an index."""

from __future__ import annotations

import re

import pytest
import tomllib
from install_lines import ROOT, arguments, install_lines

from align_zoo.errors import to_install

LINES = install_lines()
OURS = {"align-zoo": ROOT, "align-client": ROOT / "client"}


def extras_of(argument: str) -> tuple[str, set[str]]:
    """The name before the brackets, and what is in them."""
    name, extras = re.fullmatch(r"([^\[]+)(?:\[(.*)\])?", argument).groups()
    return name, set((extras or "").replace(" ", "").split(",")) - {""}


def project(folder) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]


def requirements(folder, extras: set[str]) -> set[str]:
    """The names of all that a project with these extras asks of the index."""
    content = project(folder)
    wanted = list(content["dependencies"])
    for extra in extras:
        wanted += content["optional-dependencies"][extra]
    names = set()
    for each in wanted:
        name, more = extras_of(re.split(r"[<>=!~; ]", each)[0])
        if name == content["name"]:
            names |= requirements(folder, more)
        else:
            names.add(name)
    return names


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line} ({LINES[line]})")
def test_each_line_installs_projects_of_this_checkout(line):
    assert arguments(line)
    folders, wanted = {}, set()
    for argument in arguments(line):
        path, extras = extras_of(argument)
        assert path.startswith("."), f"{argument} is on no index"
        folders[project(ROOT / path)["name"]] = ROOT / path
        wanted |= requirements(ROOT / path, extras)
    assert wanted & OURS.keys() <= folders.keys(), "asked of an index, which has none"


def test_the_lines_cover_every_extra_and_the_client():
    named = [extras_of(argument) for line in LINES for argument in arguments(line)]
    extras = set().union(*(extras for path, extras in named if path == "."))
    assert extras == project(ROOT)["optional-dependencies"].keys() - {"docs", "release", "test"}
    assert "./client" in {path for path, _ in named}


def test_install_lines_are_written_in_one_place():
    sources = [*ROOT.glob("align_zoo/**/*.py"), *ROOT.glob("client/align_client/**/*.py")]
    ours = re.compile(r"pip install ['\"]?(\.|align)")
    assert not [path.name for path in sources if ours.search(path.read_text())]
    assert to_install(".[a]") == "run `pip install '.[a]'` in a checkout of align-zoo"
