"""Servers as contenders: what a load says becomes seconds, and ours is never taken for theirs."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from align_zoo.serving.tools.callers import Load
from benchmarks import contenders, perf_analyzer, served
from benchmarks.peers import PeerUnavailable

ANSWER = np.ones(3)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """How many callers were let loose, for how long: four answers a second, half in 125 ms."""
    found: list[tuple] = []

    def loop(call, concurrency: int, seconds: float, *, warm_up: int = 1) -> Load:
        found.append((concurrency, seconds, warm_up))
        failed = {"Timeout": 1} if call(0) is None else {}
        return Load(concurrency, 9, per_second=4.0, p50=125.0, p95=200.0, p99=300.0, errors=failed)

    monkeypatch.setattr(contenders, "closed_loop", loop)
    return found


def test_many_callers_are_rated_by_throughput(asked) -> None:
    seconds, answer = contenders.throughput(str, lambda: ANSWER, 8, 6.0)(1)
    assert (seconds, asked) == (0.25, [(8, 6.0, 1)])
    assert answer is ANSWER


def test_one_caller_is_rated_by_median_latency(asked) -> None:
    seconds, answer = contenders.latency(str, lambda: ANSWER, 0.0)(1)
    assert (seconds, asked) == (0.125, [(1, 0.0, 0)])
    assert answer is ANSWER


def test_load_with_failed_calls_is_refused(asked) -> None:
    with pytest.raises(AssertionError, match=r"calls failed: \{'Timeout': 1\}"):
        contenders.throughput(lambda _: None, lambda: ANSWER, 1, 1.0)(1)


def test_a_batch_is_shared_among_its_items() -> None:
    batch = contenders.share(lambda repeats: (8.0 * repeats, ["first", "second"]), 4)
    assert batch(1) == (2.0, "first")
    assert batch(3) == (6.0, "first")


def test_no_cache_has_seen_a_fresh_label() -> None:
    lists = list(islice(contenders.fresh_labels(400), 6))  # of three blocks
    assert [len(each) for each in lists] == [400] * 6
    assert len({label for each in lists for label in each}) == 2400


def test_nvidias_load_generator_asks_our_model_and_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {("ours:1", "align_image"): 6.0, ("theirs:1", "hf_image"): 2.0}

    def measure(url: str, model: str, input_name: str, items: list[bytes], callers: int):
        assert (input_name, len(items)) == ("IMAGE", 16)
        return perf_analyzer.Load(rates[url, model] * callers, 1.0, 1.0, errors=0)

    monkeypatch.setattr(perf_analyzer, "measure", measure)
    rows = served.analyzer_rows("ours:1", "theirs:1", rounds=1)
    assert [(row.ours, row.theirs) for row in rows] == [(6.0, 2.0), (24.0, 8.0), (96.0, 32.0)]
    assert {row.ratio for row in rows} == {3.0}


def test_missing_load_generator_gives_no_rows(monkeypatch, capsys) -> None:
    def measure(*_):
        raise PeerUnavailable("no such wheel")

    monkeypatch.setattr(perf_analyzer, "measure", measure)
    assert served.analyzer_rows("ours:1", "theirs:1", rounds=1) == []
    assert capsys.readouterr().out == "perf_analyzer cannot be had: no such wheel\n"
