"""Timing that a busy machine spoils least: contenders take turns, and medians are compared."""

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
"""Does its work so many times; the seconds for one, and its last answer."""


@dataclass(frozen=True)
class Timing:
    """Seconds of one contender's rounds."""

    rounds: list[float]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.rounds)

    @property
    def spread(self) -> float:
        """Half the distance of the quartiles, as a share of the median."""
        if len(self.rounds) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.rounds, n=4, method="inclusive")
        return (high - low) / 2 / self.median


def timed(run: Callable[[], Any]) -> Contender:
    """A contender that works in this process."""

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

    A round repeats what is quick until about ``seconds`` have passed, and takes the mean.
    ``check`` is given what the uncounted runs answered, before the first that counts.

    Returns:
        The timings, and what the uncounted runs answered.
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
    """How many seconds longer one contender takes than another."""

    median: float
    uncertainty: float
    """Half of the interval in which the true median lies with 95 % probability."""


def difference(one: Contender, other: Contender, *, pairs: int) -> Difference:
    """The median difference of single runs that follow each other.

    What a noisy machine does to a run it mostly does to its neighbour; who goes first changes.
    The interval is that of the order statistics, which asks nothing of the distribution.
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
    """Ours beside theirs, once their answers are found equal.

    Args:
        group: the row's.
        what: the row's.
        against: what the other is.
        ours: one contender.
        theirs: the other; both answer with an array.
        items: in a run; the row then tells them per second, else milliseconds.
        tolerance: the greatest difference of the answers; None if there are none to compare.
        target: of the ratio.
        at_most: whether the ratio is how many times as long ours takes.
        rounds: of each.

    Raises:
        AssertionError: the answers differ: what is faster by being wrong is not faster.
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
