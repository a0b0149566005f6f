"""The rows of the comparison: what passes, how it is printed, what is kept."""

import pytest

from benchmarks.results import HEAD, Row, read_rows, table, write_rows


def row(**changed):
    content = {"group": "tower", "what": "batch 1", "against": "eager", "unit": "/s", "ours": 6.0}
    return Row(**{**content, **changed})


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({"ratio": 2.0, "target": 1.9}, "pass"),
        ({"ratio": 1.9, "target": 1.9}, "pass"),
        ({"ratio": 1.8, "target": 1.9}, "miss"),
        ({"ratio": 1.0, "target": 1.1, "at_most": True}, "pass"),
        ({"ratio": 1.2, "target": 1.1, "at_most": True}, "miss"),
        ({"ratio": 2.0}, ""),
        ({}, ""),
    ],
)
def test_a_ratio_is_judged_by_its_target(changed, verdict):
    assert row(**changed).verdict == verdict


@pytest.mark.parametrize(("ours", "verdict"), [(11.9, "pass"), (12.1, "miss")])
def test_without_a_ratio_our_own_figure_is_judged(ours, verdict):
    assert row(unit="s", ours=ours, target=12.0, at_most=True).verdict == verdict


def test_a_line_has_the_columns_of_the_head():
    columns = HEAD.splitlines()[0].count("|")
    measured = {"theirs": 3.0, "ratio": 2.0, "target": 1.9, "spread": 0.05, "their_spread": 0.2}
    rows = [row(), row(**measured, note="worst 1e-6")]
    lines = table(rows).splitlines()
    assert [line.count("|") for line in lines] == [columns] * 4
    assert lines[3].split(" | ") == [
        "| batch 1 (worst 1e-6)", "eager", "6/s ± 5%", "3/s ± 20%", "2.00x", "≥ 1.9x", "pass |"
    ]  # fmt: skip


def test_limit_is_printed_with_its_unit():
    line = row(unit="ms", ours=5.25, target=6.0, at_most=True).line()
    assert "| 5.25 ms |" in line
    assert "| ≤ 6 ms | pass |" in line


def test_written_results_are_read_again(tmp_path):
    parts = {
        "towers": [row(theirs=3.0, ratio=2.0, target=1.9, spread=0.05, their_spread=0.2)],
        "start": [row(unit="s", target=12.0, at_most=True, note="slow"), row()],
        "nothing": [],
    }
    write_rows(tmp_path / "new" / "results.json", {"cpu": "x", "cores": 2}, parts)
    assert read_rows(tmp_path / "new" / "results.json") == ({"cpu": "x", "cores": 2}, parts)


def test_file_has_the_verdict(tmp_path):
    write_rows(tmp_path / "results.json", {}, {"towers": [row(ratio=1.0, target=2.0)]})
    assert '"verdict": "miss"' in (tmp_path / "results.json").read_text()
