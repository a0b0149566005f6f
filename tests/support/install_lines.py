"""Every `pip install` that a document or an error message gives."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

__all__ = ["ROOT", "arguments", "install_lines"]

ROOT = Path(__file__).parents[2]
_DOCUMENTS = ["*.md", "docs/*.md", "client/README.md", "deploy/*.md"]


def install_lines() -> dict[str, str]:
    """Each command, and the first file that gives it."""
    found: dict[str, str] = {}
    for pattern in _DOCUMENTS:
        for path in sorted(ROOT.glob(pattern)):
            for line in re.findall(r"pip install (?!`)[^`#\n]+", path.read_text(encoding="utf-8")):
                found.setdefault(line.strip(), str(path.relative_to(ROOT)))
    for path in [*ROOT.glob("align_zoo/**/*.py"), *ROOT.glob("client/align_client/**/*.py")]:
        for project in _named_by(ast.parse(path.read_text(encoding="utf-8"))):
            line = shlex.join(["pip", "install", project])
            found.setdefault(line, str(path.relative_to(ROOT)))
    return found


def arguments(line: str) -> list[str]:
    """What a command installs, without options and their files."""
    words = shlex.split(line.rstrip(".,:)"))[2:]
    return [
        word
        for before, word in zip(["", *words], words, strict=False)
        if before not in ("-c", "--constraint") and not word.startswith("-")
    ]


def _named_by(tree: ast.AST) -> list[str]:
    return [
        call.args[0].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "to_install"
        and isinstance(call.args[0], ast.Constant)
    ]
