"""Runs the faults, the overload and the soak: `make chaos`, or `python -m benchmarks.chaos`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from align_zoo import load_encoder
from benchmarks.chaos.drain import drain
from benchmarks.chaos.faults import FAULTS, suffer
from benchmarks.chaos.overload import overload
from benchmarks.chaos.rows import ChaosRow, chaos_table
from benchmarks.chaos.soak import soak
from benchmarks.machine import machine
from tests.support.known import heavy_images, known_requests


def main(
    out: Annotated[Path, typer.Option(help="Where the results go.")] = Path("benchmarks/results"),
    overload_seconds: Annotated[float, typer.Option(help="Duration of the overload.")] = 60.0,
    soak_requests: Annotated[int, typer.Option(help="Requests of the soak.")] = 60_000,
    only: Annotated[list[str] | None, typer.Option(help="Rows whose name has this part.")] = None,
) -> None:
    """Run all against align_tiny, print the table, write JSON; exit 1 after a miss."""
    encoder = load_encoder("align_tiny")
    requests, heavy = known_requests(encoder), heavy_images(encoder)
    trials: dict[str, Callable[[], ChaosRow]] = {
        fault.name: partial(suffer, fault, requests) for fault in FAULTS
    }
    trials["SIGTERM under load"] = partial(drain, requests)
    trials["overload"] = partial(overload, heavy, overload_seconds)
    trials["soak"] = partial(soak, requests, soak_requests)
    rows = []
    for name, trial in trials.items():
        if any(part in name for part in only or [name]):
            rows.append(trial())
            print(rows[-1].line(), flush=True)
    if not only:
        out.mkdir(parents=True, exist_ok=True)
        content = {
            "machine": machine(),
            "rows": [{**asdict(row), "verdict": row.verdict} for row in rows],
        }
        (out / "chaos.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"\n{chaos_table(rows)}")
    sys.exit(any(row.verdict != "pass" for row in rows))


if __name__ == "__main__":
    typer.run(main)
