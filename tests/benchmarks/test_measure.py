"""What a measurement says of two contenders whose times are known."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from benchmarks.measure import Contender, Timing, compare, difference, interleaved, timed


def machine(seed: int, *, added: float) -> tuple[Contender, Contender]:
    """Two contenders of 0.2 s on a machine whose speed wanders by a third, one ``added`` slower."""
    rng = np.random.default_rng(seed)
    clock = itertools.count()
    phase = rng.uniform(0, 2 * np.pi)

    def run(seconds: float) -> Contender:
        def contender(_: int) -> tuple[float, str]:
            speed = 1 + np.sin(next(clock) / 40 + phase) / 6
            return seconds * speed + rng.exponential(0.005), f"{seconds:g}"

        return contender

    return run(0.2 + added), run(0.2)


@pytest.mark.parametrize("added", [0.0, 0.006, 0.05])
def test_a_difference_is_within_its_uncertainty(added: float) -> None:
    found = [difference(*machine(seed, added=added), pairs=300) for seed in range(40)]
    # What is added takes its part in the machine's wandering, too.
    held = [abs(one.median - added) <= one.uncertainty + added / 6 for one in found]
    assert np.mean(held) >= 0.85
    assert max(one.uncertainty for one in found) < 0.004


@pytest.mark.parametrize("pairs", [1, 2, 3, 20])
def test_a_difference_takes_any_number_of_pairs(pairs: int) -> None:
    assert difference(*machine(0, added=0.1), pairs=pairs).median == pytest.approx(0.1, abs=0.06)


def test_median_and_spread_are_taken_over_rounds() -> None:
    timing = Timing([5.0, 1.0, 2.0, 4.0, 3.0])
    assert (timing.median, timing.spread) == (3.0, 1 / 3)  # quartiles 2 and 4
    assert Timing([7.0]).spread == 0


def test_timed_function_returns_seconds_of_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, answers = [100.0], iter(range(9))
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def run() -> int:
        clock[0] += 2.5
        return next(answers)

    assert timed(run)(4) == (2.5, 3)


def test_contenders_alternate_and_quick_calls_repeat() -> None:
    asked: list[tuple[str, int]] = []

    def contender(name: str, seconds: float) -> Contender:
        def run(repeats: int) -> tuple[float, str]:
            asked.append((name, repeats))
            return seconds, name

        return run

    two = {"quick": contender("quick", 0.1), "slow": contender("slow", 3.0)}
    timings, answers = interleaved(two, rounds=2, seconds=0.5)
    assert asked == [("quick", 1), ("slow", 1), *[("quick", 5), ("slow", 1)] * 2]
    assert {name: timing.rounds for name, timing in timings.items()} == {
        "quick": [0.1, 0.1],
        "slow": [3.0, 3.0],
    }
    assert answers == {"quick": "quick", "slow": "slow"}


def figures(*seconds: float) -> Contender:
    """A contender that takes so long in its rounds, after the one that does not count."""
    given = iter((1.0, *seconds))
    return lambda _: (next(given), np.zeros(1))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"items": 8}, ("/s", 4.0, 2.0, 2.0)),
        ({}, ("ms", 2000.0, 4000.0, 2.0)),
        ({"at_most": True}, ("ms", 2000.0, 4000.0, 0.5)),
    ],
)
def test_row_has_the_ratio_of_both_medians(asked, told) -> None:
    ours, theirs = figures(1.0, 2.0, 3.0), figures(2.0, 4.0, 10.0)
    row = compare("towers", "images", "eager", ours=ours, theirs=theirs, rounds=3, **asked)
    assert (row.unit, row.ours, row.theirs, row.ratio) == told
    assert (row.spread, row.their_spread) == (0.25, 0.5)


def test_order_alternates_from_pair_to_pair() -> None:
    order: list[str] = []

    def contender(name: str) -> Contender:
        return lambda _: (1.0, order.append(name))

    difference(contender("one"), contender("other"), pairs=3)
    assert order == ["other", "one", "one", "other", "other", "one"]


def test_different_answers_end_the_comparison_before_timing() -> None:
    runs = {"ours": 0, "theirs": 0}

    def contender(name: str, answer: float) -> Contender:
        def run(_: int) -> tuple[float, float]:
            runs[name] += 1
            return 0.1, answer

        return run

    two = {"ours": contender("ours", 0.25), "theirs": contender("theirs", 0.5)}
    with pytest.raises(AssertionError, match=r"4 images: the answers of eager differ by 2\.5e-01"):
        compare("towers", "4 images", "eager", **two)
    assert runs == {"ours": 1, "theirs": 1}
    assert (
        compare("towers", "4 images", "eager", **two, tolerance=0.3).note == "answers within 2e-01"
    )
    assert runs["ours"] > 2
