"""The help of align-zoo: groups of commands, whole sentences, and completion in a shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from align_zoo.cli import app

COMMANDS = typer.main.get_command(app).commands
PANELS = {
    "Serve": ["serve", "web", "reload", "probe", "bench", "demo", "mcp"],
    "Models": ["export", "convert"],
    "Images": ["classify", "embed", "explain", "index", "search", "dedupe", "label", "collection"],
    "Data": ["evaluate", "finetune"],
}
SENTENCES = [
    pytest.param(parameter.help, id=f"{name} {parameter.opts[0]}")
    for name, command in COMMANDS.items()
    for parameter in command.params
]


def panels_in(text):
    """The names of the panels, in order, each with the first word of each of its lines."""
    found = {}
    for line in text.splitlines():
        if title := re.match(r"╭─ (\w+)", line):
            lines = found[title[1]] = []
        elif first := re.match(r"│ ([a-z]+) ", line):
            lines.append(first[1])
    return found


def test_commands_are_grouped_by_subject():
    found = panels_in(CliRunner().invoke(app, ["--help"]).output)
    assert found.pop("Options") == []
    assert list(found.items()) == list(PANELS.items())


@pytest.mark.parametrize("sentence", SENTENCES)
def test_every_parameter_has_a_whole_sentence(sentence):
    assert sentence and sentence.endswith(".")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_begins_with_one_sentence(name):
    first = COMMANDS[name].help.split("\n\n")[0]
    assert re.fullmatch(r"[A-Z][^.]*\.", first)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        pytest.param("ev", ["evaluate"], id="command"),
        pytest.param("evaluate --tem", ["--templates"], id="option"),
    ],
)
def test_a_shell_completes(typed, offered):
    words = f"align-zoo {typed}"
    asked = {
        "_ALIGN_ZOO_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    code = "from align_zoo.cli import app; app(prog_name='align-zoo')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True
    )
    assert done.stdout.split() == offered, done.stderr
