"""What serving an image costs beside decoding and the tower: CPU time by process.

A null tower, of a checkpoint whose arithmetic does not count, leaves what is measured: the client
(this process), the gateway, tritonserver and the process of align_image. CPU time is the kernel's
count of all threads of a process, so that other work on the machine hardly matters.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from align_client import AlignClient
from align_zoo.checkpoint.folder import open_checkpoint
from align_zoo.inputs.decode import open_encoded, to_rgb
from align_zoo.inputs.preprocess import AlignTransform, read_transform
from align_zoo.serving.tools.callers import closed_loop
from benchmarks.inputs import photos
from benchmarks.interpreter_lock import lock_held
from benchmarks.results import Row
from tests.support.service import Service, running_service

__all__ = ["cost_rows", "null_checkpoint"]

IN_FLIGHT = (1, 16, 64)
SECONDS = 3.0
"""The seconds of single calls of a turn."""
PACKED = 1024
"""The images of one call of a turn."""
BARE = 200
"""The images of a bare loop."""
LOCK_SECONDS = 3.0
"""The CPU seconds of work during which the interpreter's lock is looked at."""

_SINGLE = {"gateway": 0.70}
_PACKED = {"client": 0.20, "gateway": 0.10, "tritonserver": 0.10}
_BESIDE = 0.30
_RATE = 1500.0
_LOCK = 0.5

_Call = Callable[[AlignClient], int]
"""Calls the server; returns the number of answered images."""


class _Kind(NamedTuple):
    """A kind of images, and the sizes to which the checkpoint resizes and crops them."""

    width: int
    height: int
    resize: int
    crop: int

    @property
    def name(self) -> str:
        return f"{self.width}x{self.height}"


SMALL = _Kind(64, 64, 58, 49)
PHOTO = _Kind(640, 480, 346, 289)


def null_checkpoint(kind: _Kind = SMALL, root: Path = Path("build/benchmarks")) -> Path:
    """Return the folder of a checkpoint with towers of next to no work; make it the first time."""
    folder = root / f"null-{kind.crop}"
    if (folder / "model.safetensors").is_file():
        return folder
    from transformers import AlignConfig

    from tests.support.checkpoints import PREPROCESSOR, SMALL_TEXT, lively_model, save_checkpoint

    vision = {
        "width_coefficient": 0.25,
        "depth_coefficient": 0.1,
        "image_size": kind.crop,
        "in_channels": [32, 32, 32],
        "out_channels": [32, 32, 512],
        "kernel_sizes": [3, 3, 3],
        "strides": [2, 2, 2],
        "num_block_repeats": [1, 1, 1],
        "expand_ratios": [1, 1, 1],
        "depthwise_padding": [],
        "hidden_dim": 128,
    }
    config = AlignConfig(vision_config=vision, text_config=SMALL_TEXT, projection_dim=128)
    sizes = {"size": (kind.resize,) * 2, "crop_size": (kind.crop,) * 2}
    sides = {name: dict(zip(("height", "width"), size)) for name, size in sizes.items()}
    draft = folder.with_name(f"{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    model = lively_model(config, size=kind.crop)
    save_checkpoint(model, draft, preprocessor={**PREPROCESSOR, **sides})
    draft.rename(folder)
    return folder


def cost_rows(*, rounds: int, kinds: Sequence[_Kind] = (SMALL, PHOTO)) -> list[Row]:
    """Measure both kinds of images, and how long each photograph holds the interpreter's lock."""
    rows = []
    for kind in kinds:
        for row in _kind_rows(kind, rounds):
            print(row.line(), flush=True)
            rows.append(row)
    return rows


def _kind_rows(kind: _Kind, rounds: int) -> Iterator[Row]:
    folder = null_checkpoint(kind)
    files = photos(32, width=kind.width, height=kind.height)
    bare = _bare_steps(read_transform(open_checkpoint(folder)), files)
    with (
        tempfile.TemporaryDirectory() as scratch,
        running_service(str(folder), Path(scratch) / "serve.log") as service,
    ):
        found = _turns(service, files, rounds)
    goals = kind is SMALL
    for name, turns in found.items():
        packed = name == "packed"
        targets = (_PACKED if packed else _SINGLE) if goals else {}
        for process in ("client", "gateway", "tritonserver", "model"):
            yield _row(
                f"{kind.name}, {name}: {process}",
                [turn[process] for turn in turns],
                target=None if name == "1 in flight" else targets.get(process),
            )
        beside = [turn["model"] - bare["all"] for turn in turns]
        target = _BESIDE if packed and goals else None
        yield _row(f"{kind.name}, {name}: model beside decode and transform", beside, target=target)
        yield replace(
            _row(f"{kind.name}, {name}: in all", [turn["rate"] for turn in turns]),
            unit="/s",
            target=_RATE if packed and goals else None,
            at_most=False,
        )
    for step, milliseconds in bare.items():
        yield _row(f"{kind.name}, a bare loop: {step}", [milliseconds])
    held = lock_held(folder, files, LOCK_SECONDS)
    if held is not None:
        what = f"{kind.name}: the interpreter's lock is held"
        yield _row(what, [held], target=None if goals else _LOCK)


def _turns(
    service: Service, files: Sequence[bytes], rounds: int
) -> dict[str, list[dict[str, float]]]:
    """Measure each kind of call in turns: CPU milliseconds per image by process, and the rate."""
    assert service.process
    pids = {
        "client": os.getpid(),
        "gateway": service.process.pid,
        "tritonserver": service.tritonserver(),
        "model": service.model_process("align_image"),
    }

    def single(concurrency: int) -> _Call:
        def call(client: AlignClient) -> int:
            load = closed_loop(
                lambda i: client.embed_image(files[i % len(files)]), concurrency, SECONDS, warm_up=0
            )
            assert not load.errors, load.errors
            return load.count

        return call

    def packed(client: AlignClient) -> int:
        return len(client.embed_image(list(islice(cycle(files), PACKED))))

    calls = {f"{count} in flight": single(count) for count in IN_FLIGHT} | {"packed": packed}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in calls}
    with AlignClient(service.url, timeout=600) as client:
        packed(client)  # the first calls fill caches
        for _ in range(rounds):
            for name, call in calls.items():
                before, start = {each: _cpu(pid) for each, pid in pids.items()}, time.monotonic()
                count = call(client)
                rate = count / (time.monotonic() - start)
                spent = {each: 1000 * (_cpu(pids[each]) - was) for each, was in before.items()}
                found[name].append(
                    {each: ms / count for each, ms in spent.items()} | {"rate": rate}
                )
    return found


def _cpu(pid: int) -> float:
    """Return the seconds of CPU that all threads of a process have used, from the kernel."""
    fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    user, system = fields[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _bare_steps(transform: AlignTransform, files: Sequence[bytes]) -> dict[str, float]:
    """Return the CPU milliseconds per image of each step, in a loop that does nothing else."""
    marks = []
    for data in islice(cycle(files), BARE):
        times = [time.thread_time()]
        image = open_encoded(data)
        times.append(time.thread_time())
        image = to_rgb(image)
        times.append(time.thread_time())
        transform.to_array(image)
        times.append(time.thread_time())
        marks.append(times)
    opened, decoded, transformed = (1000 * np.diff(marks).mean(axis=0)).tolist()
    steps = {"open and judge": opened, "decode": decoded, "resize, crop and scale": transformed}
    return steps | {"all": sum(steps.values())}


def _row(what: str, values: Sequence[float], *, target: float | None = None) -> Row:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return Row(
        group="cost",
        what=what,
        against="",
        unit="ms",
        ours=middle,
        spread=(high - low) / 2 / middle if len(values) > 1 and middle > 0 else None,
        target=target,
        at_most=True,
        note="CPU time per image",
    )
