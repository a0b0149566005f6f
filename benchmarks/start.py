"""Measures the time from `align-zoo serve` to the first answer, and the server's memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from align_client import AlignClient
from align_zoo.serving.probe import explain, probe
from align_zoo.serving.triton.command import ServeOptions
from benchmarks.inputs import labels, photos, write_photos
from benchmarks.measure import Timing
from benchmarks.peers.worker import Worker, memory_of_tree
from benchmarks.results import Row

__all__ = ["memory_row", "serving", "start_rows"]

_PATIENCE = 300.0


@contextmanager
def serving(folder: Path, log: Path, env: Mapping[str, str] = os.environ) -> Iterator[tuple]:
    """Run `align-zoo serve`; yield its process, its gRPC address and the seconds to answer."""
    options = ServeOptions().on_free_ports()
    ports = {
        "--grpc-port": options.grpc_port,
        "--http-port": options.http_port,
        "--metrics-port": options.metrics_port,
    }
    words = [str(word) for pair in ports.items() for word in pair]
    command = [str(Path(sys.executable).parent / "align-zoo"), "serve", "--model", str(folder)]
    url = f"{options.host}:{options.grpc_port}"
    with log.open("wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            [*command, *words], env=dict(env), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        while not explain(probe(url, timeout=_PATIENCE))[0]:
            assert process.poll() is None, log.read_text(encoding="utf-8", errors="replace")
            assert time.perf_counter() - start < _PATIENCE, f"no answer; see {log}"
            time.sleep(0.05)
        yield process, url, time.perf_counter() - start
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def start_rows(folder: Path, *, rounds: int) -> list[Row]:
    """Measure the seconds to an answer of both towers, with the export cache and without."""
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "serve.log"
        empty = {**os.environ, "XDG_CACHE_HOME": str(Path(scratch) / "cache")}
        with serving(folder, log, empty) as (_, _, without):
            pass
        times = Timing([])
        for _ in range(rounds):
            with serving(folder, log) as (_, _, seconds):
                times.rounds.append(seconds)
    rows = [
        Row(
            group="start",
            what="to the first answer, with the export cache",
            against="",
            unit="s",
            ours=times.median,
            spread=times.spread,
            target=12.0,
            at_most=True,
        ),
        Row(
            group="start",
            what="to the first answer, exporting first",
            against="",
            unit="s",
            ours=without,
        ),
    ]
    for row in rows:
        print(row.line(), flush=True)
    return rows


def memory_row(folder: Path, server: int, url: str, theirs: Worker) -> Row:
    """Compare the memory of the server's processes with transformers', after the same work."""
    files, texts = photos(16), labels(64, seed=5)
    with AlignClient(url, timeout=_PATIENCE) as client:
        client.embed_image(files)
        client.embed_text(texts)
    with tempfile.TemporaryDirectory() as scratch:
        for path in write_photos(Path(scratch), files):
            theirs.images([path])  # one at a time, because a batch would take more memory
        theirs.texts(texts)
    ours, other = memory_of_tree(server) / 1e6, theirs.memory() / 1e6
    row = Row(
        group="memory",
        what="the whole server after 16 images and 64 labels",
        against="transformers in one process",
        unit="MB",
        ours=ours,
        theirs=other,
        ratio=ours / other,
        target=1.1,
        at_most=True,
        note="proportional set size, all processes",
    )
    print(row.line(), flush=True)
    return row
