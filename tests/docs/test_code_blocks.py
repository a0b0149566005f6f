"""Every block of code in the documents is run by a test, or has a reason and is parsed."""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import re
from pathlib import Path

import click
import pytest
import ray.scripts.scripts
import typer
from accelerate.commands.launch import launch_command_parser
from code_blocks import NOT_RUN, PAGES, ROOT, SHELL_ELSEWHERE, blocks, commands, runs_as_written
from torch.distributed.run import get_args_parser

from align_zoo.cli import app

HERE = ["docs/align-emoji.md", "docs/applications.md", "docs/concepts.md", "docs/models.md"]
"""Pages whose blocks of Python run in this file, one after the other."""
ELSEWHERE = {
    "README.md": "tests/test_readme.py",
    "client/README.md": "tests/client/test_client_readme.py",
    "docs/architecture.md": "tests/test_documents.py",
    "docs/collections.md": "tests/test_readme.py",
    "docs/explain.md": "tests/docs/test_explain_page.py",
    "docs/first-hour.md": "tests/newcomer/test_first_hour.py",
    "docs/http.md": "tests/neighbours/test_http_clients.py",
    "docs/integrations.md": "tests/integrations/conftest.py",
    "docs/library.md": "tests/test_readme.py",
    "docs/recipes.md": "tests/test_recipes.py",
    "docs/zero-shot.md": "tests/zero_shot/test_classifier.py",
}
"""Pages whose blocks of Python another file runs or, for quotes, finds in the code."""
KINDS = {
    "": "output, a formula, a table or a drawing",
    "bash": "commands",
    "json": "data, which tests read",
    "python": "run, or found in the code",
    "sh": "commands",
}
"""The languages of blocks, and what is in them."""
JSON = {
    "docs/collections.md": "tests/docs/test_code_blocks.py",
    "docs/http.md": "tests/serving/gateway/rest/test_rest_document.py",
}
"""Pages with JSON, and the test that reads it."""

COMMANDS = [
    pytest.param(words, id=f"{page} {' '.join(words[:4])}")
    for page, text in PAGES.items()
    for words in commands(text)
]


@pytest.mark.parametrize("page", HERE)
def test_blocks_of_python_run(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {"__name__": "__main__"}
    for code in blocks(PAGES[page], "python"):
        exec(compile(code, page, "exec"), names)


def test_every_page_with_python_is_run():
    assert sorted(p for p, text in PAGES.items() if blocks(text, "python")) == sorted(
        [*HERE, *ELSEWHERE]
    )
    for page, test in ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8")


def test_every_command_has_a_test_or_a_reason():
    for page, files in SHELL_ELSEWHERE.items():
        assert all(Path(page).name in (ROOT / file).read_text("utf-8") for file in files)
    others = [words for page in PAGES.keys() - SHELL_ELSEWHERE for words in commands(PAGES[page])]
    run = {words[0] for words in others if runs_as_written(words)}
    assert run == {"align-zoo", "xargs"}
    lines = [" ".join(words) for words in others]
    assert [begin for begin in NOT_RUN if not any(line.startswith(begin) for line in lines)] == []
    named = re.findall(r"tests/[\w/]+\.py", " ".join(NOT_RUN.values()))
    assert all((ROOT / file).is_file() for file in named)


def test_every_kind_of_block_is_known():
    found = {
        page: re.findall(r"^ *```(\w*)\n.*?^ *```", text, re.MULTILINE | re.DOTALL)
        for page, text in PAGES.items()
    }
    assert {*itertools.chain(*found.values())} == KINDS.keys()
    assert [page for page, kinds in found.items() if "json" in kinds] == [*JSON]
    for page, test in JSON.items():
        assert Path(page).name in (ROOT / test).read_text("utf-8")


def test_block_without_a_language_holds_no_command():
    programs = {words[0] for text in PAGES.values() for words in commands(text)}
    for page in PAGES.keys() - {"docs/commands.md"}:  # `make reference` writes that page
        for code in blocks(PAGES[page], ""):
            assert not {line.split(" ")[0] for line in code.splitlines()} & programs, page


def test_settings_of_an_assistant_start_our_command():
    (shown,) = blocks(PAGES["docs/collections.md"], "json")
    (started,) = json.loads(shown)["mcpServers"].values()
    assert Path(started["command"]).name == "align-zoo"
    parse(typer.main.get_command(app), started["args"])


def parse(command, words: list[str], context_of=typer.Context) -> None:
    """Parse the words after a command's name, and those after the names of its subcommands."""
    context = context_of(command)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
        context = context_of(command, parent=context)
    command.make_parser(context).parse_args(list(words))


def parse_launch(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Parse a launcher's words, and those of the training that it launches."""
    found = parser.parse_args(words)
    assert found.module
    assert found.training_script == "align_zoo.training"
    rest = [word for word in found.training_script_args if word != "..."]
    parse(typer.main.get_command(app), ["finetune", *rest])


@pytest.mark.parametrize("words", COMMANDS)
def test_command_line_is_parsed(words):
    program, *rest = words
    if program == "align-zoo":
        parse(typer.main.get_command(app), rest)
    elif program == "accelerate":
        assert rest.pop(0) == "launch"
        parse_launch(launch_command_parser(), rest)
    elif program == "torchrun":
        parse_launch(get_args_parser(), rest)
    elif program == "ray":
        parse(ray.scripts.scripts.cli, rest, click.Context)
    elif program == "make":
        assert re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    elif program == "python" and rest[0] == "-m":
        parse(typer.main.get_command(importlib.import_module(rest[1]).app), rest[2:])


def test_the_command_lines_are_found():
    lines = [" ".join(param.values[0]) for param in COMMANDS]
    assert len(lines) > 40
    assert "align-zoo search emoji.collection crying cat --sheet found.png" in lines
