"""Rows on stdout: a table for people, JSON lines or CSV for programs, or paths alone."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Annotated, Any

import typer

from align_zoo.errors import InvalidInput

__all__ = ["Csv", "Format", "Json", "NamesOnly", "Nul", "chosen", "write_rows"]

Json = Annotated[bool, typer.Option("--json", help="Write JSON lines (the default in a pipe).")]
Csv = Annotated[bool, typer.Option("--csv", help="Write CSV with a header.")]
NamesOnly = Annotated[bool, typer.Option("--paths", help="Write paths alone, one per line.")]
Nul = Annotated[bool, typer.Option("-0", help="With --paths: end each path with NUL.")]


class Format(Enum):
    """The form of the rows."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PATHS = "paths"
    PATHS_NUL = "paths, each ended by NUL"


def chosen(as_json: bool, as_csv: bool, paths: bool, nul: bool) -> Format:
    """Return the form that the options name: a table on a terminal, JSON lines in a pipe.

    Raises:
        InvalidInput: the options name two forms.
    """
    if as_json + as_csv + (paths or nul) > 1:
        raise InvalidInput("--json, --csv and --paths exclude each other")
    if paths or nul:
        return Format.PATHS_NUL if nul else Format.PATHS
    if as_csv:
        return Format.CSV
    terminal = sys.stdout is not None and sys.stdout.isatty()
    return Format.TABLE if terminal and not as_json else Format.JSON


def write_rows(
    rows: Iterable[Mapping[str, Any]], form: Format, columns: Mapping[str, Callable[[Any], str]]
) -> int:
    """Write rows as they come, and return how many there were.

    Args:
        rows: values by column. A JSON line has all of them, the other forms those of ``columns``.
        form: the form.
        columns: how a table shows each column's values; "path" is one of them.
    """
    if form is Format.TABLE:
        return _table(list(rows), columns)
    count = 0
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if form is Format.CSV:
        writer.writerow(columns)
    for row in rows:
        count += 1
        if form is Format.JSON:
            # A name's bytes that are no UTF-8 are lone surrogates, which only escapes can hold.
            print(json.dumps(dict(row), ensure_ascii=True, default=str), flush=True)
        elif form is Format.CSV:
            writer.writerow([printable(row.get(name, "")) for name in columns])
        else:
            end = b"\0" if form is Format.PATHS_NUL else b"\n"
            sys.stdout.buffer.write(os.fsencode(row["path"]) + end)
            sys.stdout.buffer.flush()
    return count


def _table(rows: list[Mapping[str, Any]], columns: Mapping[str, Callable[[Any], str]]) -> int:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold", justify="right" if name == "score" else "left")
    for row in rows:
        table.add_row(
            *(
                Text(printable(show(row[name])) if name in row else "")
                for name, show in columns.items()
            )
        )
    Console().print(table)
    return len(rows)


def printable(value: Any) -> Any:
    """Return a text with escapes for what a terminal cannot show; other values as they are."""
    if not isinstance(value, str):
        return value
    text = value.encode(errors="backslashreplace").decode()
    return "".join(
        c if c.isprintable() or c == " " else c.encode("unicode_escape").decode() for c in text
    )
