"""``align-zoo bench``: measures a running server's times and rates with align-client."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from align_zoo.errors import AlignZooError, to_install
from align_zoo.progress import progress_bar
from align_zoo.serving.tools.bench_inputs import Checked, encoded_images, new_labels
from align_zoo.serving.tools.bench_report import Report, this_machine
from align_zoo.serving.tools.callers import closed_loop
from align_zoo.serving.tools.demo import sample_images
from align_zoo.writing import replacing

__all__ = ["BenchOptions", "bench", "served"]

MANY_LABELS = 1000
_SEEN = "a label seen before"


@dataclass(frozen=True)
class BenchOptions:
    """The server to measure, and the options of the measurements."""

    url: str
    """The address of the gRPC endpoint, host:port."""
    images: Path | None = None
    """A folder of the user's images, with its subfolders. None: shipped images and drawn photos."""
    concurrency: Sequence[int] = (1, 4, 16)
    """The numbers of callers at once."""
    seconds: float = 5.0
    """The duration of each measurement."""
    json: Path | None = None
    """The file to write."""
    timeout: float = 120.0
    """The seconds that a call may take; 1000 new labels are one call."""


class Work(NamedTuple):
    """A measurement to make."""

    what: str
    call: Callable[[int], Any]
    concurrency: int
    seconds: float
    warm_up: int = 1


def bench(options: BenchOptions, console: Console) -> int:
    """Measure, print the table and write the file; after Ctrl-C with the measurements so far.

    Returns:
        The exit code: 0; 1 if an answer was wrong or a measurement got none; 130 after Ctrl-C.

    Raises:
        AlignZooError: the server does not answer, there is no image to send, or the file cannot
            be written.
    """
    if options.json and options.json.is_dir():
        raise AlignZooError(f"{options.json} is a folder; results go to a file")
    if options.json and not options.json.absolute().parent.is_dir():
        raise AlignZooError(f"{options.json} cannot be written: there is no such folder")
    about = served(options.url)
    from align_client import AlignClient

    with AlignClient(options.url, timeout=options.timeout) as client:
        plan = _plan(options, client)
        report = Report(options.url, about, this_machine(), planned=len(plan))
        try:
            with progress_bar(f"measuring {options.url}", len(plan)) as done:
                for work in plan:
                    load = closed_loop(
                        work.call, work.concurrency, work.seconds, warm_up=work.warm_up
                    )
                    report.measured.append((work.what, load))
                    done(1)
        except KeyboardInterrupt:
            console.print(f"stopped: {len(report.measured)} of {len(plan)} measurements were made")
    for name in ("image", "text"):
        console.print(f"{name} tower: {about[name]}")
    console.print("client: {cpu}, {cores} cores, Python {python}".format(**report.client))
    console.print(report.table())
    if options.json:
        _write(options.json, report.content())
        console.print(f"written to {options.json}")
    if not report.complete:
        return 130
    if not report.sound:
        console.print("NOT SOUND: see the errors; the times of wrong answers are worth nothing")
    return 0 if report.sound else 1


def _write(file: Path, content: dict[str, Any]) -> None:
    try:
        with replacing(file) as part:
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise AlignZooError(f"{file} cannot be written: {error.strerror}") from error


def served(url: str) -> dict[str, Any]:
    """Ask the server at ``url`` for its checkpoint, the width, and the runtime of each tower.

    Raises:
        AlignZooError: the server does not answer, or the client is not installed.
    """
    try:
        from tritonclient import grpc

        from align_client import AlignClient, AlignClientError
    except ImportError:
        raise AlignZooError(f"a benchmark needs align-client: {to_install('./client')}") from None
    image = sample_images()[0].read_bytes()
    try:
        with AlignClient(url) as client:
            client.similarity(image, "a photo")  # asks both towers; errors name the way out
    except AlignClientError as error:
        raise AlignZooError(str(error)) from error
    about: dict[str, Any] = {}
    with grpc.InferenceServerClient(url, channel_args=[("grpc.enable_http_proxy", 0)]) as triton:
        for tower, name, item in (("image", "IMAGE", image), ("text", "TEXT", b"a photo")):
            tensor = grpc.InferInput(name, [1, 1], "BYTES")
            tensor.set_data_from_numpy(np.array([[item]], dtype=np.object_))
            answer = triton.infer(f"align_{tower}", [tensor], client_timeout=30)
            runtime = answer.as_numpy("RUNTIME")
            # Older servers have no such output.
            about[tower] = "unknown" if runtime is None else runtime.item().decode()
            about["checkpoint"] = answer.as_numpy("CHECKPOINT").item().decode()
            about["width"] = int(answer.as_numpy("EMBEDDING").shape[-1])
    return about


def _plan(options: BenchOptions, client: Any) -> list[Work]:
    seen = new_labels(8)
    many = new_labels(MANY_LABELS)
    sent = encoded_images(options.images)
    one = next(iter(sent.values()))[0]
    calls: dict[str, Callable[[int], Any]] = {
        what: Checked(client.embed_image, items) for what, items in sent.items()
    }
    calls["a new label"] = lambda _: client.embed_text(new_labels(1))
    calls[_SEEN] = Checked(client.embed_text, seen)
    plan = [
        # The warm-up sends every label once.
        Work(what, call, concurrency, options.seconds, len(seen) if what == _SEEN else 1)
        for what, call in calls.items()
        for concurrency in options.concurrency
    ]
    # A single call, because a label is new only once.
    cold = Work(
        f"an image among {MANY_LABELS} new labels", lambda _: client.classify(one, many), 1, 0, 0
    )
    warm = cold._replace(
        what=f"an image among the same {MANY_LABELS}", seconds=options.seconds, warm_up=1
    )
    return [*plan, cold, warm]
