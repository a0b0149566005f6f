"""A contender in a process of its own, which times itself, so that contenders can take turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np

from benchmarks.peers.environment import environment

__all__ = ["Worker", "WorkerError", "as_installed", "memory_of", "memory_of_tree"]

_CHILDREN = Path(__file__).with_name("children")
_PROC = Path("/proc")


class WorkerError(RuntimeError):
    """A contender failed; the message has its traceback, or the last lines of its log."""


def as_installed(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return ``env`` for any contender: with OpenMP's defaults, and without the model hub."""
    kept = {name: value for name, value in env.items() if not name.startswith("OMP_")}
    return {**kept, "HF_HUB_OFFLINE": "1"}


class Worker:
    """A contender that has loaded ``folder``; a context manager that ends the process.

    Args:
        kind: transformers' AlignModel and pipeline, or our encoder without a server.
        folder: a checkpoint in Hugging Face's ALIGN format.
        python: the process's Python; by default of transformers' own environment, or this Python
            for ours.
        env: the process's environment, through ``as_installed``.

    Raises:
        WorkerError: the contender cannot load the folder, or cannot answer later.
        PeerUnavailable: the contender's environment cannot be made.
    """

    def __init__(
        self,
        kind: Literal["transformers", "align_zoo"],
        folder: Path,
        python: Path | None = None,
        *,
        env: Mapping[str, str] = os.environ,
    ) -> None:
        self.name = kind
        if python is None:
            ours = kind == "align_zoo"
            python = Path(sys.executable) if ours else environment("transformers")
        self._numbers = count()
        self._stack = tempfile.TemporaryDirectory(prefix=f"bench-{kind}-")
        self._files = Path(self._stack.name)
        self._log = self._files / "log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [python, _CHILDREN / f"{kind}_child.py", folder.absolute(), self._files],
                env=as_installed(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            self.about: dict[str, Any] = self._listen()["about"]
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The process id of the contender."""
        return self._process.pid

    def pixels(self, pixels: np.ndarray, repeats: int = 1) -> tuple[float, np.ndarray]:
        """Measure the seconds of a repeat, and return unit rows [N, D] of [N, 3, H, W] float32."""
        file = self._files / f"{next(self._numbers)}-pixels.npy"
        np.save(file, pixels)
        try:
            return self._rows({"do": "pixels", "pixels": str(file), "repeats": repeats})
        finally:
            file.unlink()

    def texts(self, texts: Sequence[str], repeats: int = 1) -> tuple[float, np.ndarray]:
        """Measure the seconds of a repeat with tokenising, and return unit rows [N, D]."""
        return self._rows({"do": "texts", "texts": list(texts), "repeats": repeats})

    def images(self, paths: Sequence[Path], repeats: int = 1) -> tuple[float, np.ndarray]:
        """Measure the seconds of a repeat with decoding, and return unit rows [N, D] of files."""
        names = [str(path.absolute()) for path in paths]
        return self._rows({"do": "images", "paths": names, "repeats": repeats})

    def classify(
        self, image: Path, labels: Sequence[str], repeats: int = 1
    ) -> tuple[float, dict[str, float]]:
        """Measure the seconds of a repeat, and return the labels' probabilities."""
        answer = self._ask(
            {
                "do": "classify",
                "image": str(image.absolute()),
                "labels": list(labels),
                "repeats": repeats,
            }
        )
        return answer["seconds"], answer["scores"]

    def memory(self) -> int:
        """Return the bytes that the process takes now (proportional set size)."""
        return memory_of(self.pid)

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # the process died with a request unread
                pipe.close()
        self._process.terminate()
        self._process.wait()
        self._stack.cleanup()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()

    def _rows(self, request: dict[str, Any]) -> tuple[float, np.ndarray]:
        answer = self._ask(request)
        rows = np.load(answer["rows"])
        Path(answer["rows"]).unlink()
        return answer["seconds"], rows

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise WorkerError(self._obituary()) from None
        return self._listen()

    def _listen(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(self._obituary())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.name} failed:\n{answer['error']}")
        return answer

    def _obituary(self) -> str:
        code = self._process.wait()
        words = self._log.read_text(errors="replace").strip().splitlines()[-15:]
        return "\n".join([f"{self.name}'s process ended with exit code {code}", *words])


def memory_of(pid: int) -> int:
    """Read the proportional set size of a process in bytes; 0 if the process has ended."""
    try:
        text = (_PROC / str(pid) / "smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    (line,) = (line for line in text.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024


def memory_of_tree(pid: int) -> int:
    """Sum the proportional set sizes of a process and all its descendants in bytes."""
    children: dict[int, list[int]] = {}
    for stat in _PROC.glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # The name before the last ")" may have any characters, spaces and brackets too.
        parent = int(text.rpartition(")")[2].split()[1])
        children.setdefault(parent, []).append(int(stat.parent.name))
    total, waiting = 0, [pid]
    while waiting:
        each = waiting.pop()
        total += memory_of(each)
        waiting += children.get(each, [])
    return total
