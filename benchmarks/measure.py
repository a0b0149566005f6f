"""Timing on a busy machine: contenders take turns, and medians are compared."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.results import Row

__all__ = ["Contender", "Difference", "Timing", "compare", "difference", "interleaved", "timed"]

Contender = Callable[[int], "tuple[float, Any]"]
"""Repeats its work a number of times; returns the seconds of one repeat, and the last answer."""


@dataclass(frozen=True)
class Timing:
    """The seconds of a contender's rounds."""

    rounds: list[float]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)

    @property
    def spread(self) -> float:
        """Half the distance of the quartiles, as a share of the median."""
        if len(self.rounds) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.rounds, n=4, method="inclusive")
        return (high - low) / 2 / self.median


def timed(run: Callable[[], Any]) -> Contender:
    """Make a contender that works in this process."""

    def contender(repeats: int) -> tuple[float, Any]:
        start = time.perf_counter()
        for _ in range(repeats):
            answer = run()
        return (time.perf_counter() - start) / repeats, answer

    return contender


def interleaved(
    contenders: dict[str, Contender],
    *,
    rounds: int = 7,
    seconds: float = 0.5,
    check: Callable[[dict[str, Any]], None] = lambda answers: None,
) -> tuple[dict[str, Timing], dict[str, Any]]:
    """Time each contender in turn, ``rounds`` times, after one run that does not count.

    A round repeats quick work until about ``seconds`` have passed, and takes the mean. ``check``
    gets the answers of the uncounted runs, before the first counted run.

    Returns:
        The timings, and the answers of the uncounted runs.
    """
    repeats, answers = {}, {}
    for name, run in contenders.items():
        first, answers[name] = run(1)  # first calls allocate and fill caches
        repeats[name] = max(1, round(seconds / first))
    check(answers)
    measured: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            measured[name].append(run(repeats[name])[0])
    return {name: Timing(times) for name, times in measured.items()}, answers


@dataclass(frozen=True)
class Difference:
    """The seconds that one contender takes longer than another."""

    median: float
    uncertainty: float
    """Half of the interval in which the true median lies with 95 % probability."""


def difference(one: Contender, other: Contender, *, pairs: int) -> Difference:
    """Measure the median difference of single runs that follow each other.

    Noise of the machine mostly affects two neighbouring runs alike. The order of the two changes
    from pair to pair. The interval is that of the order statistics, for any distribution.
    """
    found = []
    for pair in range(pairs):
        order = (one, other) if pair % 2 else (other, one)
        seconds = {run: run(1)[0] for run in order}
        found.append(seconds[one] - seconds[other])
    found.sort()
    reach = math.ceil(1.96 * math.sqrt(pairs) / 2)
    low, high = found[max(0, pairs // 2 - reach)], found[min(pairs - 1, pairs // 2 + reach)]
    return Difference(statistics.median(found), (high - low) / 2)


def compare(
    group: str,
    what: str,
    against: str,
    *,
    ours: Contender,
    theirs: Contender,
    items: int | None = None,
    tolerance: float | None = 1e-4,
    target: float | None = None,
    at_most: bool = False,
    rounds: int = 7,
) -> Row:
    """Check that the answers are equal, and time ours beside theirs.

    Args:
        group: the row's group.
        what: the row's name.
        against: the name of the other contender.
        ours: our contender.
        theirs: the other contender; both answer with an array.
        items: the items of a run, for a row of items per second; else the row has milliseconds.
        tolerance: the greatest difference of the answers; None if there are no answers to compare.
        target: the target of the ratio.
        at_most: whether the ratio is our time divided by theirs, and the target its limit.
        rounds: the rounds of each contender.

    Raises:
        AssertionError: the answers differ; a wrong answer's speed says nothing.
    """
    note = ""

    def check(answers: dict[str, Any]) -> None:
        nonlocal note
        if tolerance is not None:
            error = float(np.abs(np.asarray(answers["ours"]) - np.asarray(answers["theirs"])).max())
            assert error <= tolerance, f"{what}: the answers of {against} differ by {error:.1e}"
            note = f"answers within {error:.0e}"

    timings, _ = interleaved({"ours": ours, "theirs": theirs}, rounds=rounds, check=check)
    mine, other = timings["ours"].median, timings["theirs"].median
    row = Row(
        group=group,
        what=what,
        against=against,
        unit="/s" if items else "ms",
        ours=items / mine if items else mine * 1000,
        theirs=items / other if items else other * 1000,
        spread=timings["ours"].spread,
        their_spread=timings["theirs"].spread,
        ratio=mine / other if at_most else other / mine,
        target=target,
        at_most=at_most,
        note=note,
    )
    print(row.line(), flush=True)
    return row
