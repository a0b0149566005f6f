"""Pairs in a CSV: the columns ``image``, a path relative to the CSV's folder, and ``caption``."""

from __future__ import annotations

import hashlib
from pathlib import Path

from align_zoo.errors import InvalidInput
from align_zoo.inputs.caption_csv import CaptionRow, read_caption_csv, real_paths
from align_zoo.training.errors import TrainingError
from align_zoo.training.pair import LeftOut, Pair

__all__ = ["CsvPairs"]

_NAMED = 5  # faults named in a message; more would not be readable


class CsvPairs:
    """The rows of a CSV in UTF-8; other columns than ``image`` and ``caption`` are ignored.

    ``CsvPairs(Path("captions.csv")).read(0)`` is the first pair.

    Raises:
        TrainingError: the file is absent, no CSV in UTF-8 or empty, a column is missing, or a
            row has no caption or no image that exists. The message names rows by their line.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.left_out = path, LeftOut()
        try:
            self._rows = read_caption_csv(path)
        except InvalidInput as error:
            raise TrainingError(str(error)) from error
        _refuse_faults(path, self._rows)
        self.images = real_paths(path.parent / row.image for row in self._rows)
        content = repr([(str(Path(row.image)), row.caption) for row in self._rows])
        self.fingerprint = hashlib.sha256(content.encode()).hexdigest()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def where(self, index: int) -> str:
        """Return the file, the line and the image of a pair."""
        row = self._rows[index]
        return f"{self.path} line {row.line} ({row.image})"

    def read(self, index: int) -> Pair:
        """Read the image's bytes and the caption of a pair."""
        row = self._rows[index]
        return Pair((self.path.parent / row.image).read_bytes(), row.caption)


def _refuse_faults(path: Path, rows: list[CaptionRow]) -> None:
    faults = []
    for row in rows:
        if not row.caption:
            faults.append(f"line {row.line} has no caption")
        if not row.image:
            faults.append(f"line {row.line} has no image")
        elif not (path.parent / row.image).is_file():
            faults.append(f"line {row.line}: {row.image} does not exist")
    if faults:
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise TrainingError(f"{path}: {'; '.join(faults[:_NAMED])}{more}")
