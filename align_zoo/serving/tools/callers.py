"""A closed loop of callers: each caller waits for its answer before the next call."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from align_zoo.errors import AlignZooError

__all__ = ["Load", "closed_loop"]


@dataclass(frozen=True)
class Load:
    """The rates and times of a number of callers; times are of answered calls only."""

    concurrency: int
    """The number of callers."""
    count: int
    """The answered calls."""
    per_second: float
    """The answered calls of all callers together in a second."""
    p50: float
    """The median time in milliseconds; NaN, as p95 and p99, if no call was answered."""
    p95: float
    p99: float
    errors: dict[str, int]
    """The number of failed calls, by the exception's class."""


def closed_loop(
    call: Callable[[int], Any], concurrency: int, seconds: float, *, warm_up: int = 1
) -> Load:
    """Let ``concurrency`` threads call, each again as soon as its call is answered.

    Caller ``t`` of ``c`` makes the calls number t, t + c, t + 2c, ..., so the division of the work
    does not depend on timing. All callers begin to count together, after all warm-up calls.

    Args:
        call: takes the number of the call, each number once; an exception is counted.
        concurrency: the number of callers, 1 or more.
        seconds: the time after which no call begins; calls under way are finished. Each caller
            makes at least one call.
        warm_up: each caller's first calls, which do not count.

    Raises:
        AlignZooError: there are no threads for so many callers.
    """
    begin, stop = threading.Barrier(concurrency), threading.Event()

    def caller(number: int) -> tuple[list[float], Counter[str], float]:
        for _ in range(warm_up):
            _attempt(call, number)
            number += concurrency
        begin.wait()
        times: list[float] = []
        errors: Counter[str] = Counter()
        start = now = time.perf_counter()
        while True:
            error = _attempt(call, number)
            before, now = now, time.perf_counter()
            number += concurrency
            if error is None:
                times.append(now - before)
            else:
                errors[type(error).__name__] += 1
            if now - start >= seconds or stop.is_set():
                return times, errors, now - start

    with ThreadPoolExecutor(concurrency) as pool:
        try:
            futures = [pool.submit(caller, number) for number in range(concurrency)]
            results = [future.result() for future in futures]
        except RuntimeError as error:  # no further thread can be started
            raise AlignZooError(f"{concurrency} callers at once are too many: {error}") from error
        finally:  # also after Ctrl-C: no caller calls again, or waits for the others
            stop.set()
            begin.abort()
    times = np.concatenate([np.array(taken) for taken, _, _ in results])
    quantiles = np.percentile(times, [50, 95, 99]) * 1000 if len(times) else np.full(3, np.nan)
    p50, p95, p99 = quantiles.tolist()
    return Load(
        concurrency=concurrency,
        count=len(times),
        # The sum of the callers' own rates, because the last calls end at different times.
        per_second=sum(len(taken) / lasted for taken, _, lasted in results),
        p50=p50,
        p95=p95,
        p99=p99,
        errors=dict(sum((errors for _, errors, _ in results), Counter())),
    )


def _attempt(call: Callable[[int], Any], number: int) -> Exception | None:
    try:
        call(number)
    except Exception as error:
        return error
    return None
