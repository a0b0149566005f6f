"""docs/align-tiny.md shows what the evaluation finds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from align_zoo.tiny.evaluate import EMBEDDED, Checkpoint, report

PAGE = Path(__file__).parents[2] / "docs" / "align-tiny.md"


def test_table_has_the_accuracies_of_the_checkpoint():
    lines = re.findall(r"^\| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)[1:]
    for line, row in zip(lines, report(Checkpoint.load(EMBEDDED), seed=1), strict=True):
        *words, accuracy = line.split(" | ")
        assert words == [row.group, str(row.images), str(row.labels), row.prompt]
        # Another processor may judge an image otherwise: one of 600 is 0.17 %.
        assert float(accuracy.rstrip("%")) == pytest.approx(100 * row.accuracy, abs=0.4)
