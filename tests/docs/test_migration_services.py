"""The calls of docs/migration-services.md exist here, with these arguments."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from pathlib import Path

import pytest
import typer

import align_zoo
from align_client import AlignClient, AsyncAlignClient
from align_zoo.cli import app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "migration-services.md").read_text(encoding="utf-8")
SERVED = "".join(path.read_text("utf-8") for path in ROOT.glob("align_zoo/**/rest/*.py"))
SERVED += "".join(path.read_text("utf-8") for path in ROOT.glob("align_zoo/web/*.py"))
ROWS = re.findall(r"^\| (\w.*?) \| (.*?) \| (.*) \|$", PAGE, re.MULTILINE)
CODE = [
    pytest.param(code, id=f"{title}: {code}"[:60])
    for title, _, here in ROWS
    for code in re.findall(r"`([^`]+)`", here)
]
KNOWN = {
    "AlignClient": AlignClient,
    "AsyncAlignClient": AsyncAlignClient,
    "Collection": align_zoo.Collection,
    "align_zoo": align_zoo,
    "client": AlignClient,
}
ANSWERS = {"open": align_zoo.Collection}


def resolved(node):
    """Return what an expression of names, attributes and calls stands for."""
    if isinstance(node, ast.Name):
        return KNOWN[node.id]
    if isinstance(node, ast.Attribute):
        return getattr(resolved(node.value), node.attr)
    assert isinstance(node, ast.Call)
    called = resolved(node.func)
    signature = inspect.signature(called)
    given = [None] * len(node.args)
    if next(iter(signature.parameters), "") == "self":
        given.append(None)
    signature.bind(*given, **{keyword.arg: None for keyword in node.keywords})
    return called if inspect.isclass(called) else ANSWERS.get(called.__name__)


@pytest.mark.parametrize("code", CODE)
def test_call_exists(code):
    if code.startswith("align-zoo "):
        _, name, *rest = shlex.split(code)
        command = typer.main.get_command(app).commands[name]
        command.make_parser(typer.Context(command)).parse_args(rest)
    elif called := re.fullmatch(r"(GET|POST) (/v\S+)", code):
        assert f'"{called[2]}"' in SERVED
    elif "(" in code:
        resolved(ast.parse(code, mode="eval").body)
    else:
        assert code in ('"on_error": "return"',)


def test_each_table_has_rows():
    assert len(ROWS) > 28
    assert len(CODE) >= 30
