"""Ten times the requests that the service can answer: waiting times and refusals."""

from __future__ import annotations

import asyncio
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from align_client import AlignClient, AlignClientError, AsyncAlignClient, Overloaded
from align_zoo.runtime.machine import spare_what_stays
from align_zoo.serving.tools.callers import closed_loop
from benchmarks.chaos.rows import ChaosRow
from tests.support.known import Known, is_right
from tests.support.service import Service, running_service

__all__ = ["overload"]

QUEUE_SECONDS = 1.0
TIMES = 10
STANDS_STILL = 0.005
"""The growth of memory in a flood, below which a process is warm."""
FLOODS = 12
"""The most floods to warm up; growth after these floods is counted."""


@dataclass
class Outcome:
    """The outcome of all requests; times in seconds."""

    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    wrong: int = 0
    lost: dict[str, int] = field(default_factory=dict)


def overload(requests: Sequence[Known], seconds: float) -> ChaosRow:
    """Send requests at ten times the capacity, each at its own time.

    The p99 of accepted requests must be below twice the queue's bound, other requests must be
    refused within 100 ms, memory must not grow, and the service must be at full speed 2 s after the
    end.

    Args:
        requests: images that take long to compute and are small to send.
        seconds: the duration.
    """
    with (
        tempfile.TemporaryDirectory() as scratch,
        running_service(
            "align_tiny", Path(scratch) / "log", f"--queue-seconds={QUEUE_SECONDS:g}"
        ) as service,
        AlignClient(service.url, timeout=30, retries=False) as client,
    ):
        _capacity(client, requests, 10.0)  # an idle machine is faster for its first seconds
        capacity = _capacity(client, requests)
        warm = _warm_up(service, requests, capacity * TIMES, seconds / 4)
        before = service.resident()
        outcome = asyncio.run(_flood(service.url, requests, capacity * TIMES, seconds))
        after = service.resident()
        time.sleep(2)  # the time that the service has to recover
        again = _capacity(client, requests)
    growth = _growth(before, after)
    accepted = float(np.percentile(outcome.answered, 99))
    refused = float(np.percentile(outcome.refused, 99)) if outcome.refused else 0.0
    slowest = max(outcome.refused, default=0.0)
    demands = {
        f"accepted p99 {accepted:.2f} s": accepted < 2 * QUEUE_SECONDS,
        f"refused p99 {refused * 1000:.0f} ms": refused < 0.1,
        f"slowest refusal {slowest * 1000:.0f} ms": slowest < 0.1,
        f"memory grew by {growth:.1%}": growth < 0.02,
        f"{again / capacity:.0%} of full speed after 2 s": again > 0.9 * capacity,
    }
    return ChaosRow(
        what=f"{TIMES} times the capacity of {capacity:.0f}/s for {seconds:g} s",
        sent=len(outcome.answered) + len(outcome.refused) + sum(outcome.lost.values()),
        wrong=outcome.wrong,
        lost=sum(outcome.lost.values()),
        missed=", ".join(what for what, met in demands.items() if not met),
        note="; ".join(
            [
                f"after {warm:g} s to warm up",
                f"{len(outcome.refused):,} refused",
                *demands,
                *outcome.lost,
            ]
        ),
    )


def _warm_up(
    service: Service, requests: Sequence[Known], per_second: float, seconds: float
) -> float:
    """Repeat the load until memory stands still, and return the seconds that it took."""
    grown, spent = math.inf, 0.0
    while grown > STANDS_STILL and spent < FLOODS * seconds:
        before = service.resident()
        asyncio.run(_flood(service.url, requests, per_second, seconds))
        grown = _growth(before, service.resident())
        spent += seconds
    return spent


def _growth(before: Mapping[str, int], after: Mapping[str, int]) -> float:
    """Return the growth of the process that grew most, as a share."""
    return max(after[name] / size - 1 for name, size in before.items())


def _capacity(client: AlignClient, requests: Sequence[Known], seconds: float = 4.0) -> float:
    return closed_loop(lambda i: requests[i % len(requests)].ask(client), 8, seconds).per_second


async def _flood(url: str, requests: Sequence[Known], per_second: float, seconds: float) -> Outcome:
    outcome = Outcome()
    async with AsyncAlignClient(url, timeout=30, retries=False, max_in_flight=10_000) as client:

        async def one(request: Known) -> None:
            start = time.perf_counter()
            try:
                (vector,) = await client.embed_image(request.item)
            except Overloaded:
                outcome.refused.append(time.perf_counter() - start)
            except AlignClientError as error:
                words = f"{type(error).__name__}: {error}"
                outcome.lost[words] = outcome.lost.get(words, 0) + 1
            else:
                outcome.answered.append(time.perf_counter() - start)
                outcome.wrong += not is_right(vector, request.vector)

        spare_what_stays()  # the caller's own pauses must not count as the service's
        start = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number in range(int(per_second * seconds)):
                await asyncio.sleep(max(0.0, start + number / per_second - time.perf_counter()))
                tasks.create_task(one(requests[number % len(requests)]))
    return outcome
