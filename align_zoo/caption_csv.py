"""Captioned pictures in a CSV: the columns ``image`` and ``caption``."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

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
        InvalidInput: the file is absent, no CSV in UTF-8 or empty, or lacks a column.
    """
    try:
        # Spreadsheets write a byte order mark in front.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = reader.fieldnames or []
            for column in _COLUMNS:
                if column not in header:
                    raise InvalidInput(
                        f"{path} has no column {column!r}; its first line must name the columns "
                        f"image and caption, and is {','.join(header)!r}"
                    )
            rows = [
                # A short row lacks values.
                CaptionRow(
                    reader.line_num, (row["image"] or "").strip(), (row["caption"] or "").strip()
                )
                for row in reader
            ]
    except FileNotFoundError:
        raise InvalidInput(f"{path} does not exist") from None
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read as a CSV in UTF-8: {error}") from error
    if not rows:
        raise InvalidInput(f"{path} holds no captions")
    return rows
