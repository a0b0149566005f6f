"""The benchmark's rows, from real processes and a real server, on align_tiny and in seconds."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from served import starts_server

from align_client import AlignClient
from align_zoo.checkpoint.folder import open_checkpoint
from benchmarks import served, towers
from benchmarks.inputs import photos, write_photos
from benchmarks.peers import environment
from benchmarks.peers.worker import Worker
from benchmarks.results import Row
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
@starts_server
def server(tmp_path_factory: pytest.TempPathFactory):
    with serving(TINY, tmp_path_factory.mktemp("serve") / "log") as (process, url, seconds):
        assert seconds > 0
        yield process.pid, url


def test_towers_have_rows_for_transformers_and_limit(ours, theirs) -> None:
    started: Counter[str] = Counter()

    def start(worker: Worker) -> AbstractContextManager[Worker]:
        started[worker.name] += 1
        return nullcontext(worker)  # a process takes seconds to start

    rows = tower_rows(TINY, partial(start, ours), partial(start, theirs), size=49, rounds=1)
    # For each of two batches one look that does not count and one turn; and once for the rest.
    assert started == {"align_zoo": 5, "transformers": 5}
    assert [row.what for row in rows if row.group == "text tower"] == ["1 label", "8 labels"]
    assert sum(row.group == "image tower" for row in rows) == 3
    assert all(row.ratio > 0 and row.verdict for row in rows)


def test_serving_is_measured_beside_the_tower(ours, server) -> None:
    with AlignClient(server[1]) as client:
        rate, added = served.bare_rows(client, ours, TINY, rounds=1)
    assert rate.unit == "/s"
    assert added.unit == "ms"
    assert 0 < added.ours < 100


def test_classification_is_compared_with_the_pipeline(theirs, server, tmp_path: Path) -> None:
    (photo,) = write_photos(tmp_path, photos(1))
    with AlignClient(server[1]) as client:
        seen, new = served.classify_rows(client, theirs, photo, rounds=1)
    assert (seen.what, seen.at_most) == ("1000 labels already seen", True)
    assert (new.what, new.unit) == ("1000 new labels, one photo", "ms")


def test_small_wrong_scores_are_not_timed(theirs, server, tmp_path: Path) -> None:
    def wrong(photo: Path, labels: list[str]):
        seconds, scores = theirs.classify(photo, labels)
        least = sorted(scores, key=scores.__getitem__)[:500]
        return seconds, scores | dict(zip(least, [scores[each] for each in least[::-1]]))

    (photo,) = write_photos(tmp_path, photos(1))
    with (
        AlignClient(server[1]) as client,
        pytest.raises(AssertionError, match="answers of transformers' zero-shot pipeline"),
    ):
        served.classify_rows(client, SimpleNamespace(classify=wrong), photo, rounds=1)


def beside_itself(client: AlignClient, off: float = 0.0) -> list[Row]:
    """Our server as the other, whose images' embeddings are so far off."""

    def embed_image(file: bytes) -> np.ndarray:
        return client.embed_image(file)[0] + off

    return served.peer_rows(
        client,
        "another server",
        embed_image,
        client.embed_text,
        images={1: None, 2: 1.5},
        labels_at_once={1: None, 3: 1.5},
        rounds=1,
        padding="padded to 64",
    )


def test_rows_name_other_server_and_load(server) -> None:
    with AlignClient(server[1]) as client:
        rows = beside_itself(client)
    assert [(row.what, row.against) for row in rows] == [
        ("images, concurrency 1", "another server"),
        ("images, concurrency 2", "another server"),
        ("labels, 1 at a time", "another server, padded to 64"),
        ("labels, 3 in a call", "another server, padded to 64"),
    ]


def test_answers_for_another_photo_are_not_timed(server) -> None:
    # So far apart are two photos for random weights of base size.
    with (
        AlignClient(server[1]) as client,
        pytest.raises(AssertionError, match=r"differ by 2\.0e-02"),
    ):
        beside_itself(client, off=0.02)


def test_worker_of_a_given_python_needs_no_environment(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(environment, "BUILD", tmp_path / "build")
    with Worker("transformers", TINY, Path(sys.executable)):
        assert not (tmp_path / "build").exists()


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
