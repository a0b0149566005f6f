"""The benchmark's rows, from real processes and a real server, on align_tiny and in seconds."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest

from align_client import AlignClient
from align_zoo.checkpoint import open_checkpoint
from benchmarks import served, towers
from benchmarks.inputs import photos, write_photos
from benchmarks.peers.worker import Worker
from benchmarks.start import memory_row, serving
from benchmarks.towers import tower_rows

TINY = open_checkpoint("align_tiny").folder


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "SECONDS", 0.3)
    monkeypatch.setattr(served, "PAIRS", 20)
    monkeypatch.setattr(towers, "PRODUCTS", 2)
    monkeypatch.setattr(towers, "IMAGES", {1: 1.9, 4: 2.8})
    monkeypatch.setattr(towers, "LABELS", {1: 5.0, 8: 5.0})


@pytest.fixture(scope="module")
def ours():
    with Worker("align_zoo", TINY) as worker:
        yield worker


@pytest.fixture(scope="module")
def theirs():
    with Worker("transformers", TINY, Path(sys.executable)) as worker:
        yield worker


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with serving(TINY, tmp_path_factory.mktemp("serve") / "log") as (process, url, seconds):
        assert seconds > 0
        yield process.pid, url


def test_both_towers_are_compared_with_transformers_and_the_limit() -> None:
    ours = partial(Worker, "align_zoo", TINY)
    theirs = partial(Worker, "transformers", TINY, Path(sys.executable))
    rows = tower_rows(TINY, ours, theirs, size=49, rounds=1)
    assert [row.what for row in rows if row.group == "text tower"] == ["1 label", "8 labels"]
    assert sum(row.group == "image tower" for row in rows) == 3
    assert all(row.ratio > 0 and row.verdict for row in rows)


def test_what_serving_costs_is_measured_beside_the_bare_tower(ours, server) -> None:
    with AlignClient(server[1]) as client:
        rate, added = served.bare_rows(client, ours, TINY, rounds=1)
    assert rate.unit == "/s"
    assert added.unit == "ms"
    assert added.ours < 100


def test_classification_is_compared_with_the_pipeline(theirs, server, tmp_path: Path) -> None:
    (photo,) = write_photos(tmp_path, photos(1))
    with AlignClient(server[1]) as client:
        seen, new = served.classify_rows(client, theirs, photo, rounds=1)
    assert (seen.what, seen.at_most) == ("1000 labels already seen", True)
    assert (new.what, new.unit) == ("1000 new labels, one photo", "ms")


def test_the_memory_of_all_processes_counts(theirs, server) -> None:
    row = memory_row(TINY, *server, theirs)
    assert row.ours > 100
    assert row.theirs > 300


def test_different_answers_are_not_timed(ours, theirs) -> None:
    with pytest.raises(AssertionError, match="answers of transformers"):
        served.compare(
            "text tower",
            "1 label",
            "transformers",
            ours=lambda n: ours.texts(["a red star"], n),
            theirs=lambda n: theirs.texts(["a blue ring"], n),
        )
