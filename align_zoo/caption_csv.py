"""Captioned pictures in a CSV: the columns ``image`` and ``caption``."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

from align_zoo.errors import InvalidInput

__all__ = ["CaptionRow", "read_caption_csv"]

_COLUMNS = ("image", "caption")


class CaptionRow(NamedTuple):
    """What one row says; an absent value is empty."""

    line: int
    """Where the row ends in the file."""
    image: str
    caption: str


def read_caption_csv(path: Path) -> list[CaptionRow]:
    """The rows of a CSV in UTF-8; other columns are ignored.

    Raises:
        InvalidInput: the file is absent, no CSV in UTF-8 or empty, lacks a column, or a row has
            more values than there are columns or a quote that is not closed.
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


def _rows(path: Path, file: TextIO) -> Iterator[CaptionRow]:
    # What the reader would otherwise guess from is refused: it would lose captions.
    reader = csv.reader(file, strict=True)
    header: list[str] = []
    begins = 1
    try:
        header = next(reader, [])
        for column in _COLUMNS:
            if column not in header:
                raise InvalidInput(
                    f"{path} has no column {column!r}; its first line must name the columns "
                    f"image and caption, and is {','.join(header)!r}"
                )
        begins = reader.line_num + 1
        for values in reader:
            if any(values[len(header) :]):
                raise InvalidInput(
                    f"{path} line {reader.line_num} has more values than the first line names "
                    "columns; put a caption with a comma in double quotes"
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
