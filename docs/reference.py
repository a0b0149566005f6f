"""Write docs/python.md and docs/commands.md from the code: ``make reference``."""

from __future__ import annotations

import html
import inspect
import re
from pathlib import Path
from types import ModuleType

import typer
from typer.cli import get_docs_for_click

import align_client
import align_zoo
from align_zoo.cli import app

_PYTHON = """\
# The Python interface

The public names of both packages; `make reference` writes this page from the docstrings. The site
that `make docs` builds has each name in full: arguments, shapes, units, errors and an example.
Everything else in the packages is internal.
"""
_COMMANDS = """\
# The commands

`align-zoo --help` lists the commands, and `make reference` writes this page from the same source.
An error is one line on stderr with exit code 1, a wrong argument has exit code 2.
`align-zoo --install-completion` adds completion to your shell.
"""


def python() -> str:
    """Write a table of each package's public names with their first sentences."""
    parts = [_PYTHON]
    for package in (align_zoo, align_client):
        rows = [f"| `{name}` | {_summary(package, name)} |" for name in package.__all__]
        parts.append(
            "\n".join([f"## {package.__name__}", "", "| name | |", "|---|---|", *rows, ""])
        )
    return "\n".join(parts)


def _summary(package: ModuleType, name: str) -> str:
    thing = getattr(package, name)
    text = inspect.getdoc(thing) if inspect.isclass(thing) or inspect.isfunction(thing) else None
    first, *_ = (text or _comment(package, name)).split("\n\n")
    return re.sub(r"``(.+?)``", r"`\1`", " ".join(first.split())).replace("|", r"\|")


def _comment(package: ModuleType, name: str) -> str:
    """Return the text below the definition of a type."""
    sources = "\n".join(path.read_text("utf-8") for path in Path(package.__path__[0]).glob("*.py"))
    return re.findall(rf'^{name} = .+\n"""([^"]+)"""', sources, re.MULTILINE)[0]


def commands() -> str:
    """Write the help of every command, in the groups of ``align-zoo --help``."""
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="align-zoo")
    panels: dict[str, list[str]] = {}
    for command in group.commands.values():
        text = get_docs_for_click(obj=command, ctx=context, indent=2, call_prefix="align-zoo")
        text = re.sub(r"\*\*Commands\*\*:\n\n(\* .+\n)+\n", "", html.unescape(text))
        text = text.replace("```console\n$ ", "```\n").replace("\n\n\n", "\n\n")
        panels.setdefault(command.rich_help_panel, []).append(text.strip())
    parts = ["\n\n".join([f"## {panel}", *texts]) for panel, texts in panels.items()]
    return "\n\n".join([_COMMANDS.strip(), *parts]) + "\n"


if __name__ == "__main__":
    for write in (python, commands):
        page = Path(__file__).with_name(f"{write.__name__}.md")
        page.write_text(write(), encoding="utf-8")
