"""Many mixed requests: every answer is compared, and the growth of memory is measured."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from align_client import AlignClient
from benchmarks.chaos.rows import ChaosRow
from tests.support.known import Known
from tests.support.rest_client import RestClient
from tests.support.service import running_service
from tests.support.traffic import Traffic

__all__ = ["soak"]

GROWTH = 0.02


def soak(requests: Sequence[Known], count: int, *, callers: int = 8) -> ChaosRow:
    """Send at least ``count`` requests, with bad requests among them.

    A quarter of the callers send theirs over HTTP.

    The first third is the warm-up: caches fill and allocators settle. After the warm-up no process
    may grow by more than 2 %.
    """
    with (
        tempfile.TemporaryDirectory() as scratch,
        running_service("align_tiny", Path(scratch) / "log") as service,
        AlignClient(service.url, timeout=60) as client,
    ):
        rest = RestClient(service.http, timeout=60)
        with Traffic(client, requests, callers, rest) as traffic:
            _wait(traffic, count // 3)
            before = service.resident()
            _wait(traffic, count)
        after = service.resident()
    grown = {
        name: after.get(name, 0) / size - 1
        for name, size in before.items()
        if after.get(name, 0) > size * (1 + GROWTH)
    }
    growth = max(after[name] / size - 1 for name, size in before.items())
    return ChaosRow(
        what="soak",
        sent=traffic.sent,
        wrong=traffic.wrong,
        lost=sum(traffic.lost.values()),
        missed=", ".join(f"{name} grew by {share:.1%}" for name, share in grown.items()),
        note="; ".join([*traffic.lost, f"memory of a process grew by {growth:.1%} at most"]),
    )


def _wait(traffic: Traffic, count: int) -> None:
    while traffic.sent < count:
        time.sleep(0.2)
        if sys.stderr.isatty():
            print(f"\rsoak: {traffic.sent:,} of {count:,}", end="", file=sys.stderr)
