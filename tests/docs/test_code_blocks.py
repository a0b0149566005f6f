"""Every block of code in the documents is run by a test, or parsed, and has a reason."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path

import click
import pytest
import ray.scripts.scripts
import typer
from accelerate.commands.launch import launch_command_parser
from torch.distributed.run import get_args_parser
from typer.testing import CliRunner

from align_zoo.cli import app

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for pattern in ("README.md", "docs/*.md", "client/README.md", "deploy/README.md")
    for path in sorted(ROOT.glob(pattern))
}
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
SHELL_HERE = ["docs/explain.md", "docs/library.md"]
"""Pages whose commands run in this file, one after the other."""
SHELL_ELSEWHERE = {
    "docs/first-hour.md": ["tests/newcomer/test_first_hour.py"],
    "docs/http.md": ["tests/serving/gateway/rest/test_rest_document.py"],
    "docs/integrations.md": ["tests/integrations/conftest.py"],
    "docs/recipes.md": ["tests/test_recipes.py", "tests/serving/gateway/test_gateway_recipes.py"],
}
"""Pages whose blocks of the shell other files run as written."""
NOT_RUN = {
    "align-zoo": "asks for images, servers or the real weights: parsed; its own tests run it",
    "accelerate": "wants four GPUs: parsed; tests/training/test_accelerator.py launches on a CPU",
    "docker": "is not on every machine of the tests",
    "make": "is what CI calls: its targets are looked up",
    "pip": "is looked at by tests/test_install_lines.py",
    "python": "trains for hours: align-zoo's are parsed; timm's train.py is not in its package, and"
    " tests/training/test_timm_script.py tries what its options do",
    "ray": "wants several machines: parsed; tests/collection/test_ray.py starts a cluster on one",
    "torchrun": "is cut short on the page: parsed; tests/training/test_processes.py runs two",
    "tritonserver": "is NVIDIA's container's; tests/serving/test_served_models.py starts a wheel's",
    "xargs": "lists files; tests/collection/test_commands.py reads what it is given",
}
"""The programs of the other pages, and why no test runs their commands as written."""


def blocks(text: str, *languages: str) -> list[str]:
    found = re.findall(r"^ *```(\w+)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [code for language, code in found if language in languages]


def commands(text: str) -> list[list[str]]:
    """Return the words of each command in the shell's blocks, without its environment."""
    found = []
    for block in blocks(text, "bash", "sh"):
        block = re.sub(r"<<END\n.*?^END$", "", block, flags=re.MULTILINE | re.DOTALL)
        block = re.sub(r"(^|\s)#.*$", "", block.replace("\\\n", " "), flags=re.MULTILINE)
        lexer = shlex.shlex(_one_line(block), posix=True, punctuation_chars="|;&")
        lexer.whitespace_split = True
        lexer.commenters = ""
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("|;&"):
                if words:
                    found.append(words)
                words = []
            elif words or not re.match(r"[A-Z_]+=", word):
                words.append(word)
    return found


def _one_line(block: str) -> str:
    """End each command by a semicolon, but for the line ends inside of quotes."""
    parts = re.split(r"('[^']*'|\"[^\"]*\")", block)
    return "".join(
        part if index % 2 else part.replace("\n", " ; ") for index, part in enumerate(parts)
    )


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


@pytest.mark.parametrize("page", SHELL_HERE)
def test_blocks_of_shell_run(page, tmp_path, monkeypatch):
    (tmp_path / "align_zoo").mkdir()
    (tmp_path / "align_zoo" / "assets").symlink_to(ROOT / "align_zoo" / "assets")
    monkeypatch.chdir(tmp_path)
    for program, *words in commands(PAGES[page]):
        assert program == "align-zoo"
        words = [re.sub("^/tmp/", f"{tmp_path}/", word) for word in words]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output


def test_every_command_runs_or_has_a_reason():
    for page, files in SHELL_ELSEWHERE.items():
        assert all(Path(page).name in (ROOT / file).read_text("utf-8") for file in files)
    others = PAGES.keys() - {*SHELL_HERE, *SHELL_ELSEWHERE}
    programs = {words[0] for page in others for words in commands(PAGES[page])}
    assert programs - {"export"} == NOT_RUN.keys()
    named = re.findall(r"tests/[\w/]+\.py", " ".join(NOT_RUN.values()))
    assert all((ROOT / file).is_file() for file in named)


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
