"""Measures a server as its work grows: `python -m benchmarks.growth FOLDER`.

The curves are over labels, image size, callers and time. Each curve is written when it is finished;
`--resume` continues after an interruption.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

import typer

from align_client import AlignClient
from align_zoo.errors import AlignZooError
from align_zoo.serving.tools.bench import served
from align_zoo.serving.tools.bench_inputs import drawn_photo
from align_zoo.serving.tools.callers import Load, closed_loop
from align_zoo.serving.triton.command import ServeOptions
from align_zoo.serving.triton.launcher import run_server
from align_zoo.writing import replacing
from benchmarks.growth_chart import draw_growth
from benchmarks.inputs import all_labels, photos
from benchmarks.machine import machine
from benchmarks.peers.worker import memory_of_tree

__all__ = ["CURVES", "Growth", "measure"]

SAMPLE_SECONDS = 10.0
PATIENCE = 900.0
PHOTO = photos(1)[0]

Point = dict[str, float]


@dataclass(frozen=True)
class Growth:
    """A running server, and the points and durations of its curves."""

    url: str
    """The address of the gRPC endpoint."""
    pid: int
    """The server's first process."""
    seconds: float
    """The seconds of load at each point."""
    minutes: float
    """The minutes of the curve over time."""
    label_counts: Sequence[int] = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
    sizes: Sequence[float] = (0.1, 0.3, 1, 3, 6, 12, 24)
    """Megapixels."""
    caller_counts: Sequence[int] = (1, 2, 4, 8, 16, 32, 64)
    unused: Iterator[str] = field(default_factory=all_labels)
    """Labels that this server has not seen yet."""
    _taking: Lock = field(default_factory=Lock)

    def labels(self) -> Iterator[Point]:
        """Classify a photo among n labels: new labels, and then the same labels again."""
        for count in self.label_counts:
            new, seen = [], []
            # Few labels are quick, and their times vary: the median of several.
            for _ in range(1 if count > 100 else 5):
                made = self._new(count)
                with self._client() as client:
                    client.temperature()  # connects
                    classify = partial(client.classify, PHOTO, made)
                    new.append(_seconds(classify))
                    seen.append(_seconds(classify))
            yield {
                "labels": count,
                "new_seconds": statistics.median(new),
                "new_labels_per_second": count / statistics.median(new),
                "seen_seconds": statistics.median(seen),
                "memory_mb": self._memory(),
            }

    def megapixels(self) -> Iterator[Point]:
        """Embed JPEG files of a camera's sizes, sent whole, by one caller and by four."""
        for size in self.sizes:
            height = round((size * 1e6 * 3 / 4) ** 0.5)
            file = drawn_photo(height * 4 // 3, height)
            alone, four = self._load(file, 1), self._load(file, 4)
            yield {
                "megapixels": size,
                "megabytes": len(file) / 1e6,
                "p50_ms": alone.p50,
                "per_second": four.per_second,
                "memory_mb": self._memory(),
            }

    def callers(self) -> Iterator[Point]:
        """Embed the same photo by more and more callers at once."""
        for count in self.caller_counts:
            load = self._load(PHOTO, count)
            yield {
                "callers": count,
                "per_second": load.per_second,
                "p50_ms": load.p50,
                "p99_ms": load.p99,
                "memory_mb": self._memory(),
            }

    def minutes_of_load(self) -> Iterator[Point]:
        """Classify a photo among five labels, one of them always new, by four callers."""
        known = self._new(4)
        each = min(SAMPLE_SECONDS, self.minutes * 60)
        with self._client() as client:
            start = time.perf_counter()
            for _ in range(max(1, round(self.minutes * 60 / each))):
                load = _sound(
                    closed_loop(
                        lambda _: client.classify(PHOTO, [*known, *self._new(1)]),
                        4,
                        each,
                        warm_up=0,
                    )
                )
                yield {
                    "minutes": (time.perf_counter() - start) / 60,
                    "per_second": load.per_second,
                    "p50_ms": load.p50,
                    "memory_mb": self._memory(),
                }

    def _new(self, count: int) -> list[str]:
        with self._taking:
            return list(islice(self.unused, count))

    def _load(self, file: bytes, callers: int) -> Load:
        with self._client() as client:
            return _sound(closed_loop(lambda _: client.embed_image(file), callers, self.seconds))

    def _memory(self) -> float:
        return memory_of_tree(self.pid) / 1e6

    def _client(self) -> AlignClient:
        return AlignClient(self.url, timeout=PATIENCE)


CURVES: dict[str, Callable[[Growth], Iterator[Point]]] = {
    "labels": Growth.labels,
    "megapixels": Growth.megapixels,
    "callers": Growth.callers,
    "minutes": Growth.minutes_of_load,
}


def measure(growth: Growth, results: Path, *, resume: bool) -> dict[str, Any]:
    """Measure all curves; each is added to the JSON file ``results`` as soon as it is finished.

    Args:
        growth: the server.
        results: the file.
        resume: keep the curves in the file.

    Raises:
        AlignZooError: the file's curves are of another checkpoint, or calls failed.
    """
    about = served(growth.url)
    content: dict[str, Any] = {"machine": machine(), "served": about, "curves": {}}
    if resume and results.is_file():
        content = json.loads(results.read_text(encoding="utf-8"))
        if content["served"]["checkpoint"] != about["checkpoint"]:
            raise AlignZooError(
                f"{results} is of another checkpoint: move it away, or do not resume"
            )
    for name, curve in CURVES.items():
        if name in content["curves"]:
            continue
        points = []
        for point in curve(growth):
            points.append(point)
            print(f"{name}: " + ", ".join(f"{k} {v:.4g}" for k, v in point.items()), flush=True)
        content["curves"][name] = points
        with replacing(results) as part:
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return content


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _sound(load: Load) -> Load:
    if load.errors:
        raise AlignZooError(f"calls failed: {load.errors}")
    return load


def main(
    model: Annotated[str, typer.Argument(help='An ALIGN folder, a hub id, or "align_tiny".')],
    out: Annotated[Path, typer.Option(help="Where the results go.")] = Path("benchmarks/results"),
    seconds: Annotated[float, typer.Option(help="Seconds of load at each point.")] = 10.0,
    minutes: Annotated[float, typer.Option(help="Minutes of the curve over time.")] = 10.0,
    resume: Annotated[bool, typer.Option(help="Keep finished curves.")] = False,
) -> None:
    """Start a server, measure the four curves, write JSON and a chart."""
    out.mkdir(parents=True, exist_ok=True)
    log = out / "growth.log"
    with run_server(ServeOptions(model=model).on_free_ports(), log=log) as server:
        assert server.pid
        growth = Growth(server.grpc_url, server.pid, seconds=seconds, minutes=minutes)
        content = measure(growth, out / "growth.json", resume=resume)
    log.unlink()
    draw_growth(content, out / "growth.png")


if __name__ == "__main__":
    typer.run(main)
