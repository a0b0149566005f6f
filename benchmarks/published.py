"""Write the figures of the documents from the results files: ``python -m benchmarks.published``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.chaos.rows import ChaosRow, chaos_table
from benchmarks.results import Row, read_rows, table

__all__ = ["PAGES", "ROOT", "main"]

ROOT = Path(__file__).parents[1]
_RESULTS = Path(__file__).with_name("results")
_IN_THE_README = (
    "1 image",
    "64 labels",
    "images, concurrency 8",
    "the whole server after 16 images and 64 labels",
    "added latency of one small image, p50",
)
"""The rows that the README shows beside all misses."""
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def _rows(name: str) -> list[Row]:
    _, parts = read_rows(_RESULTS / name)
    return [row for rows in parts.values() for row in rows]


def _goals(name: str) -> tuple[int, int]:
    """Return how many goals are reached, and how many there are."""
    verdicts = [row.verdict for row in _rows(name) if row.verdict]
    return verdicts.count("pass"), len(verdicts)


def _counted(text: str) -> str:
    """Write the numbers of goals that a text states."""
    here, all_here = _goals("cpu.json")
    there, all_there = _goals("avx2/cpu.json")
    text = re.sub(r"\d+ of \d+( goals are reached there)", rf"{there} of {all_there}\1", text)
    text = re.sub(r"\d+ of \d+( goals are reached(?! there))", rf"{here} of {all_here}\1", text)
    return re.sub(r"and \d+(?=\s+\[without AVX-512\])", f"and {there}", text)


def _fill(text: str, heading: str, rows: str) -> str:
    """Put a table in the place of the first table below a heading."""
    before, found, after = text.partition(f"\n{heading}\n")
    assert found, heading
    start = re.search(r"^\|", after, re.MULTILINE)
    assert start, heading
    end = re.compile(r"\n(?!\|)").search(after, start.start())
    assert end, heading
    return before + found + after[: start.start()] + rows + after[end.start() :]


def _readme(text: str) -> str:
    rows = _rows("cpu.json")
    misses = [row for row in rows if row.verdict == "miss"]
    shown = []
    for what in _IN_THE_README:
        shown.append(next(row for row in rows if row.what == what and row.verdict == "pass"))
    text = _fill(_counted(text), "## Results", table([*shown, *misses]))
    count = _NUMBERS[len(misses)]
    text = re.sub(
        r"\w+ rows(?=\s+of\s+the\s+benchmark)", f"{_NUMBERS[len(shown)].title()} rows", text
    )
    text = re.sub(r"(and its )\w+(?= misses)", rf"\g<1>{count}", text)
    return re.sub(r"(and why )\w+(?= are missed)", rf"\g<1>{count}", text)


def _performance(text: str) -> str:
    text = _fill(_counted(text), "## Beside its peers", table(_rows("cpu.json")))
    return _fill(text, "## Without AVX-512", table(_rows("avx2/cpu.json")))


def _collections(text: str) -> str:
    return _fill(text, "## Sizes", table(_rows("collections.json")))


def _operations(text: str) -> str:
    content = json.loads((_RESULTS / "chaos.json").read_text(encoding="utf-8"))
    rows = [ChaosRow(**{k: v for k, v in row.items() if k != "verdict"}) for row in content["rows"]]
    return _fill(text, "## Proof", chaos_table(rows))


PAGES: dict[str, Callable[[str], str]] = {
    "README.md": _readme,
    "docs/performance.md": _performance,
    "docs/collections.md": _collections,
    "docs/operations.md": _operations,
}
"""What writes the figures of each page into its text."""


def main() -> None:
    """Write all pages."""
    for name, write in PAGES.items():
        page = ROOT / name
        page.write_text(write(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
