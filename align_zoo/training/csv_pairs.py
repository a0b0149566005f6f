"""Pairs in a CSV: the columns ``image``, a path relative to the CSV's folder, and ``caption``."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import NamedTuple

from align_zoo.training.errors import TrainingError
from align_zoo.training.pairs import Pair

__all__ = ["CsvPairs"]

_COLUMNS = ("image", "caption")
_NAMED = 5  # of many faults, so that a message stays readable


class _Row(NamedTuple):
    line: int
    picture: Path
    caption: str


class CsvPairs:
    """The rows of a CSV in UTF-8; other columns than ``image`` and ``caption`` are ignored.

    Raises:
        TrainingError: the file is absent, no CSV in UTF-8 or empty, a column is missing, or a
            row has no caption or a picture that does not exist. Rows are named by their line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows = _read(path)
        _refuse_faults(path, self._rows)
        self.pictures = [str(row.picture) for row in self._rows]
        content = repr([(str(row.picture), row.caption) for row in self._rows])
        self.fingerprint = hashlib.sha256(content.encode()).hexdigest()

    def __len__(self) -> int:
        """Rows."""
        return len(self._rows)

    def where(self, index: int) -> str:
        """File, line and picture."""
        row = self._rows[index]
        return f"{self.path} line {row.line} ({row.picture})"

    def read(self, index: int) -> Pair:
        """The picture's bytes and its caption."""
        row = self._rows[index]
        return Pair((self.path.parent / row.picture).read_bytes(), row.caption)


def _read(path: Path) -> list[_Row]:
    try:
        # Spreadsheets write a byte order mark in front.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = reader.fieldnames or []
            for column in _COLUMNS:
                if column not in header:
                    raise TrainingError(
                        f"{path} has no column {column!r}; its first line must name the columns "
                        f"image and caption, and is {','.join(header)!r}"
                    )
            rows = [
                # A short row lacks values.
                _Row(reader.line_num, Path(row["image"] or ""), (row["caption"] or "").strip())
                for row in reader
            ]
    except FileNotFoundError:
        raise TrainingError(f"{path} does not exist") from None
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise TrainingError(f"{path} cannot be read as a CSV in UTF-8: {error}") from error
    if not rows:
        raise TrainingError(f"{path} holds no pairs")
    return rows


def _refuse_faults(path: Path, rows: list[_Row]) -> None:
    faults = []
    for row in rows:
        if not row.caption:
            faults.append(f"line {row.line} has no caption")
        if not (path.parent / row.picture).is_file():
            faults.append(f"line {row.line}: {row.picture} does not exist")
    if faults:
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise TrainingError(f"{path}: {'; '.join(faults[:_NAMED])}{more}")
