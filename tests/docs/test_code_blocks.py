"""Every block of code in the documents is run by a test, or its command lines are parsed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

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
PROGRAMS = {
    ".venv/bin/align-zoo": "tests/newcomer/test_first_hour.py",
    "accelerate": "tests/training/test_accelerator.py",
    "asker/bin/python": "tests/newcomer/test_first_hour.py",
    "cat": "tests/newcomer/test_first_hour.py",
    "curl": "tests/serving/gateway/rest/test_rest_document.py",
    "docker": "deploy/README.md",
    "llm": "tests/integrations/test_llm.py",
    "make": "tests/test_readme.py",
    "openssl": "tests/serving/gateway/test_gateway_recipes.py",
    "pip": "tests/test_install_lines.py",
    "python": "tests/training/test_timm_script.py",
    "python3": "tests/serving/gateway/test_gateway_recipes.py",
    "ray": "tests/collection/test_ray.py",
    "source": "tests/newcomer/test_first_hour.py",
    "torchrun": "tests/training/test_accelerator.py",
    "tritonserver": "tests/serving/test_served_models.py",
    "xargs": "tests/collection/test_duplicates.py",
}
"""The programs of the shell's blocks beside align-zoo, and where each is tried."""


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


@pytest.mark.parametrize("words", COMMANDS)
def test_command_line_is_parsed(words):
    program, *rest = words
    if program == "export":
        return
    if program != "align-zoo":
        assert (ROOT / PROGRAMS[program]).is_file()
        return
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name=program)
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
        context = typer.Context(command, parent=context)
    command.make_parser(context).parse_args(rest)


def test_the_command_lines_are_found():
    lines = [" ".join(param.values[0]) for param in COMMANDS]
    assert len(lines) > 40
    assert "align-zoo search emoji.collection crying cat --sheet found.png" in lines
