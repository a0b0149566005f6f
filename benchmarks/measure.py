"""Timing that a busy machine spoils least: contenders take turns, and medians are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Timing", "interleaved"]


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
        low, _, high = statistics.quantiles(self.rounds, n=4)
        return (high - low) / 2 / self.median


def interleaved(
    contenders: dict[str, Callable[[], Any]], *, rounds: int = 7, seconds: float = 0.5
) -> tuple[dict[str, Timing], dict[str, Any]]:
    """Time each contender in turn, ``rounds`` times, after one run that does not count.

    A round repeats what is quick until about ``seconds`` have passed, and takes the mean.

    Returns:
        The timings, and what the uncounted runs returned.
    """
    repeats, results = {}, {}
    for name, run in contenders.items():
        start = time.perf_counter()
        results[name] = run()  # first calls allocate and fill caches
        repeats[name] = max(1, round(seconds / (time.perf_counter() - start)))
    measured: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                run()
            measured[name].append((time.perf_counter() - start) / repeats[name])
    return {name: Timing(times) for name, times in measured.items()}, results
