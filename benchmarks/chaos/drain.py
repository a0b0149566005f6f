"""SIGTERM under load: accepted requests are answered, other requests are refused as retryable."""

from __future__ import annotations

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

__all__ = ["drain"]

_RETRYABLE = "ServerUnavailable"


def drain(requests: Sequence[Known], callers: int = 16) -> ChaosRow:
    """Stop a service under the load of clients that do not retry, a quarter of them over HTTP.

    Each request must be answered or refused as retryable. The exit code must be 0, and no file may
    be left in /dev/shm.
    """
    with (
        tempfile.TemporaryDirectory() as scratch,
        running_service("align_tiny", Path(scratch) / "log") as service,
        AlignClient(service.url, timeout=30, retries=False) as client,
        Traffic(
            client, requests, callers, RestClient(service.http, timeout=30, retries=False)
        ) as traffic,
    ):
        names = service.shared_memory()
        time.sleep(1)  # until requests are under way
        start = time.monotonic()
        code = service.stop()
        seconds = time.monotonic() - start
        left = [name for name in names if name.exists()]
    refused = sum(n for words, n in traffic.lost.items() if words.startswith(_RETRYABLE))
    lost = {words: n for words, n in traffic.lost.items() if not words.startswith(_RETRYABLE)}
    demands = {
        f"exit code {code}": code == 0,
        f"{len(left)} of {len(names)} files left in /dev/shm": bool(names) and not left,
    }
    return ChaosRow(
        what="SIGTERM under load",
        sent=traffic.sent,
        wrong=traffic.wrong,
        lost=sum(lost.values()),
        missed=", ".join(what for what, met in demands.items() if not met),
        note="; ".join([f"ended after {seconds:.1f} s, {refused:,} refused", *lost]),
    )
