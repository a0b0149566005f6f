"""Mutated images, odd strings and odd requests by the thousand: `python -m fuzz`.

Item n is the same in each run, so `--first` goes on where an earlier run has ended. Exit code 1
if there is a fault; each is printed with its seed.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from service import running_service

from align_zoo import load_encoder
from align_zoo.progress import progress_bar
from align_zoo.runtime.machine import cores
from align_zoo.serving.triton.command import ServeOptions
from align_zoo.serving.triton.launcher import run_server
from fuzz.gateway import try_requests
from fuzz.outcomes import Outcomes, table
from fuzz.served import serve_images
from fuzz.strings import try_strings
from fuzz.workers import decode_in_processes

_STEP = 1_000


def main(
    images: Annotated[int, typer.Option(min=0, help="Through the decode function.")] = 200_000,
    served: Annotated[int, typer.Option(min=0, help="Through a real server.")] = 5_000,
    strings: Annotated[int, typer.Option(min=0, help="Through the text service.")] = 20_000,
    requests: Annotated[int, typer.Option(min=0, help="Through the whole service.")] = 20_000,
    first: Annotated[int, typer.Option(min=0, help="The first item's number.")] = 0,
    processes: Annotated[int, typer.Option(min=1)] = cores(),
) -> None:
    """Try them on align_tiny, and print what became of them."""
    warnings.simplefilter("ignore")  # Pillow's, of damaged files
    runs: list[Outcomes] = []
    if images:
        with progress_bar("images, decoded", images) as progress:
            runs.append(decode_in_processes(first, images, processes, progress))
    if strings:
        runs.append(_strings(first, strings))
    if served:
        runs.append(_served(first, served))
    if requests:
        runs.append(_requests(first, requests))
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table(runs))
    faults = [fault for run in runs for fault in run.faults]
    for fault in faults:
        console.print(fault, markup=False, highlight=False)
    raise typer.Exit(1 if faults else 0)


def _strings(first: int, count: int) -> Outcomes:
    encoder, outcomes = load_encoder("align_tiny"), Outcomes("strings, embedded")
    with progress_bar(outcomes.what, count) as progress:
        for start in range(first, first + count, _STEP):
            part = try_strings(range(start, min(start + _STEP, first + count)), encoder)
            outcomes.add(part)
            progress(part.tried)
    return outcomes


def _served(first: int, count: int) -> Outcomes:
    encoder = load_encoder("align_tiny")
    with tempfile.TemporaryDirectory() as folder:
        options = ServeOptions(model="align_tiny").on_free_ports()
        with (
            run_server(options, log=Path(folder) / "tritonserver.log") as server,
            progress_bar("images, served", count) as progress,
        ):
            return serve_images(server.grpc_url, range(first, first + count), encoder, progress)


def _requests(first: int, count: int) -> Outcomes:
    expected = load_encoder("align_tiny").embed_texts(["a red circle"])[0]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "service.log"
        with (
            running_service("align_tiny", log) as service,
            progress_bar("requests, served", count) as progress,
        ):
            before, http_url = service.tritonserver(), service.http.removeprefix("http://")
            seeds = range(first, first + count)
            outcomes = try_requests(service.url, http_url, seeds, expected, progress)
            restarts = service.health().get("restarts")
            if restarts != 0 or service.tritonserver() != before:
                outcomes.faults.append(f"tritonserver was restarted {restarts} times")
            return outcomes


if __name__ == "__main__":
    typer.run(main)
