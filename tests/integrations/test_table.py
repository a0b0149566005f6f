"""The table "works with" of the README: each row names its tests, each adapter has a row."""

from __future__ import annotations

import re

from environments import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
(TABLE,) = re.findall(r"^## Works with\n(.*?)^## ", README, re.MULTILINE | re.DOTALL)
ROWS = [line.strip("|").split("|") for line in TABLE.strip().splitlines()[2:]]


def test_every_row_names_tests():
    assert len(ROWS) >= 4
    for *_, shown_by in ROWS:
        files = re.findall(r"\]\((tests/[\w/]+\.py)\)", shown_by)
        assert files, shown_by
        assert all("def test_" in (ROOT / file).read_text("utf-8") for file in files), shown_by


def test_every_adapter_has_a_row_and_a_section():
    page = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")
    adapters = {path.stem for path in (ROOT / "align_zoo" / "integrations").glob("[a-z]*.py")}
    for name in adapters - {"clients"}:
        assert f"(tests/integrations/test_{name}.py)" in TABLE
        assert re.search(rf"align_zoo\.integrations\.{name}\b|'\.\[{name}\]'", page), name
