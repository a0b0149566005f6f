"""The figures on the pages are those of the results files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from align_zoo.emoji.evaluate import tables
from benchmarks.chaos.rows import ChaosRow, chaos_table
from benchmarks.results import read_rows, table

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("page", "results"),
    [
        ("docs/performance.md", "cpu.json"),
        ("docs/performance.md", "avx2/cpu.json"),
        ("docs/collections.md", "collections.json"),
    ],
)
def test_the_page_shows_the_table_of_the_results(page, results):
    _, parts = read_rows(ROOT / "benchmarks/results" / results)
    rows = [row for rows in parts.values() for row in rows]
    assert table(rows) in (ROOT / page).read_text(encoding="utf-8")


def test_readme_shows_results_and_all_misses():
    _, parts = read_rows(ROOT / "benchmarks/results/cpu.json")
    measured = table([row for rows in parts.values() for row in rows]).splitlines()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\|.*(?:pass|miss) \|$", readme, re.MULTILINE)
    assert len(shown) >= 5
    assert set(shown) <= set(measured)
    assert {line for line in measured if line.endswith("miss |")} <= set(shown)


def test_the_page_shows_what_the_faults_did():
    content = json.loads((ROOT / "benchmarks/results/chaos.json").read_text(encoding="utf-8"))
    rows = [ChaosRow(**{k: v for k, v in row.items() if k != "verdict"}) for row in content["rows"]]
    assert chaos_table(rows) in (ROOT / "docs/operations.md").read_text(encoding="utf-8")


def test_the_page_shows_what_align_emoji_reaches():
    path = ROOT / "benchmarks/results/align_emoji.json"
    page = (ROOT / "docs/align-emoji.md").read_text(encoding="utf-8")
    written = tables(**json.loads(path.read_text(encoding="utf-8"))).split("\n\n")
    assert len(written) == 4
    for each in written:
        assert each in page
