"""Captioned images in a CSV: the columns ``image`` and ``caption``."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TextIO

from align_zoo.errors import InvalidInput

__all__ = ["CaptionRow", "read_caption_csv", "real_paths"]

_COLUMNS = ("image", "caption")
_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


class CaptionRow(NamedTuple):
    """The values of a row; an absent value is empty."""

    line: int
    """The line of the file where the row ends."""
    image: str
    caption: str


def read_caption_csv(path: Path) -> list[CaptionRow]:
    """Read the rows of a CSV in UTF-8; columns of other names are ignored.

    Blanks around a name or a value do not count, also before a quote that opens a value.

    Raises:
        InvalidInput: the file is absent, no CSV in UTF-8 or empty, lacks a column or has it twice,
            or a row has more values than there are columns or a quote that is not closed.
    """
    try:
        # Spreadsheets write a byte order mark in front.
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(_rows(path, file))
    except FileNotFoundError:
        raise InvalidInput(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read as a CSV in UTF-8: {error}") from error
    if not rows:
        raise InvalidInput(f"{path} holds no captions")
    return rows


def real_paths(paths: Iterable[Path]) -> list[str]:
    """Return one spelling for all paths of a file: absolute, without links or ``..``."""
    # Cached: a data set has few folders and many files.
    real_folder = lru_cache(maxsize=1024)(os.path.realpath)
    found = []
    for path in paths:
        if path.name in ("", ".."):
            found.append(os.path.realpath(path))
            continue
        spelled = os.path.join(real_folder(str(path.parent)), path.name)  # noqa: PTH118 - millions
        found.append(os.path.realpath(spelled) if os.path.islink(spelled) else spelled)  # noqa: PTH114
    return found


def _rows(path: Path, file: TextIO) -> Iterator[CaptionRow]:
    # Strict: a reader that guesses would lose captions.
    reader = csv.reader(file, strict=True, skipinitialspace=True)
    begins = 1
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header)
        begins = reader.line_num + 1
        for values in reader:
            if any(values[len(header) :]):
                raise InvalidInput(
                    f"{path} line {reader.line_num} has more values than the first line names "
                    "columns; put a caption with a comma in double quotes"
                )
            if any(map(_is_late_quote, values)):
                raise InvalidInput(
                    f"{path} line {reader.line_num} has white space other than blanks before a "
                    "quote that opens a value; remove it"
                )
            if values:  # no blank line
                row = dict(zip(header, map(str.strip, values), strict=False))
                yield CaptionRow(reader.line_num, *(row.get(column, "") for column in _COLUMNS))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise InvalidInput(
            f"{path}: the row that begins at line {begins} is no CSV: {error}. Double quotes "
            "enclose the whole value, and are doubled within it"
        ) from error


def _check_header(path: Path, header: list[str]) -> None:
    said = ",".join(header)
    for column in _COLUMNS:
        if column not in header:
            apart = [name for mark, name in _OTHER_DELIMITERS.items() if mark in said]
            hint = f"; {apart[0]} stand between its names, where commas belong" if apart else ""
            raise InvalidInput(
                f"{path} has no column {column!r}; its first line must name the columns "
                f"image and caption, and is {said!r}{hint}"
            )
        if header.count(column) > 1:
            raise InvalidInput(
                f"{path} has {header.count(column)} columns {column!r}: its first line is "
                f"{said!r}. Rename the others; columns of other names are ignored"
            )


def _is_late_quote(value: str) -> bool:
    """Return whether the reader took a quote for a character, as after a tab or a hard space."""
    return value[:1].isspace() and value[0] != " " and value.lstrip().startswith('"')
