"""The figures on the pages are those of the results files."""

from __future__ import annotations

import json
import re

import pytest

from align_zoo.emoji.evaluate import tables
from benchmarks.published import PAGES, ROOT


@pytest.mark.parametrize("page", PAGES)
def test_page_has_the_figures_of_the_results(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert PAGES[page](text) == text, "run `make reference`"


@pytest.mark.parametrize("page", PAGES)
def test_other_figures_are_written_over(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    broken = re.sub(r"\d+ of \d+ goals", "1 of 99 goals", text)
    broken = re.sub(r"^(\|.*) pass \|$", r"\1 miss |", broken, flags=re.MULTILINE)
    assert broken != text
    assert PAGES[page](broken) == text


def test_the_page_shows_what_align_emoji_reaches():
    path = ROOT / "benchmarks/results/align_emoji.json"
    page = (ROOT / "docs/align-emoji.md").read_text(encoding="utf-8")
    written = tables(**json.loads(path.read_text(encoding="utf-8"))).split("\n\n")
    assert len(written) == 4
    for each in written:
        assert each in page
