"""`make bench`: which parts are measured, and which are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from align_zoo.checkpoint.folder import open_checkpoint
from benchmarks import __main__ as command
from benchmarks.results import Row, read_rows

TINY = open_checkpoint("align_tiny").folder


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each part was measured; its figure is that number."""
    times: Counter[str] = Counter()

    def part(name: str) -> Callable[..., list[Row]]:
        def rows(folder: Path, size: int, rounds: int) -> list[Row]:
            times[name] += 1
            figure = float(times[name])
            return [Row(name, "batch 1", "eager", "/s", ours=figure, theirs=1.0, ratio=figure)]

        return rows

    monkeypatch.setattr(command, "PARTS", {name: part(name) for name in ("one", "two")})
    return times


def test_resumed_run_measures_missing_parts(measured, tmp_path):
    command.main(model=TINY, out=tmp_path, only=["two"])
    command.main(model=TINY, out=tmp_path, resume=True)
    assert measured == {"one": 1, "two": 1}


def test_named_part_is_measured_again(measured, tmp_path):
    command.main(model=TINY, out=tmp_path)
    command.main(model=TINY, out=tmp_path, only=["one"], resume=True)
    assert measured == {"one": 2, "two": 1}
    _, kept = read_rows(tmp_path / "cpu.json")
    assert {name: row.ours for name, (row,) in kept.items()} == {"one": 2.0, "two": 1.0}


def test_without_resume_nothing_is_kept(measured, tmp_path):
    command.main(model=TINY, out=tmp_path)
    command.main(model=TINY, out=tmp_path)
    assert measured == {"one": 2, "two": 2}


def test_unknown_part_is_named(measured, tmp_path):
    with pytest.raises(typer.BadParameter, match="there is no part 'three'"):
        command.main(model=TINY, out=tmp_path, only=["three"])
    assert not list(tmp_path.iterdir())
