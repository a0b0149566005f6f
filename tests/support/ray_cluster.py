"""A Ray cluster of two machines on loopback, and embedders that end their worker or wait."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
from waiting import wait_until

from align_zoo.collection import shards
from align_zoo.collection.embedder import Embedder, EncoderEmbedder
from align_zoo.collection.ray_engine import end_session
from align_zoo.collection.sources import Input
from align_zoo.errors import InvalidImage

_NODE = "ALIGN_ZOO_TEST_NODE"
_START = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
_START += ["--num-cpus=1", "--object-store-memory=100000000"]


@contextmanager
def two_machines() -> Iterator[str]:
    """Yield the address of a cluster of two nodes with one CPU each; the second can be killed."""
    folder, port = tempfile.mkdtemp(dir="/tmp"), 6390
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    address = f"127.0.0.2:{port}"
    first = ["--head", "--node-ip-address=127.0.0.2", f"--port={port}", f"--temp-dir={folder}"]
    first.append("--include-dashboard=false")
    second = ["--node-ip-address=127.0.0.3", f"--address={address}"]
    with ExitStack() as ends, pytest.MonkeyPatch.context() as patch:
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        for name, value in token.items():
            patch.setenv(name, value)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.fspath(Path(__file__).parent))
        for name, options in (("first", first), ("second", second)):
            with Path(folder, f"{name}.log").open("wb") as log:
                node = subprocess.Popen(
                    [*_START, *options],
                    stdout=log,
                    stderr=log,
                    env={**os.environ, _NODE: name},
                    start_new_session=True,
                )
            ends.callback(node.wait)
            ends.callback(node.kill)
            ends.callback(end_session, node.pid)
        for log in Path(folder).glob("*.log"):
            wait_until(lambda log=log: "Ray runtime started" in log.read_text(), 120)
        yield address


def processes(session: int | None = None) -> list[str]:
    """Return the command lines of the living processes, of a session or of all."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            line = (folder / "cmdline").read_text(errors="replace").replace("\0", " ").strip()
        except OSError:  # it has ended meanwhile
            continue
        if session in (None, int(fields[3])) and fields[0] not in "ZX":
            found.append(line)
    return found


class Faulty(EncoderEmbedder):
    """Computes shards until a file tells the worker to die or to wait.

    Args:
        model: the checkpoint.
        orders: a folder of files. "worker": a worker kills itself; "machine": a worker of the
            second node kills its raylet, and the first node's workers wait for that. Each is done
            once. "always": every worker kills itself. "wait": no worker gets ready as long as the
            file is there. "blind": workers can read no file.
    """

    def __init__(self, model: str, orders: Path, *, threads: int | None = None) -> None:
        super().__init__(model, threads=threads)
        self._orders = orders

    def images(self, files: Sequence[bytes]) -> list:
        if (self._orders / "always").exists() or self._take("worker"):
            os.kill(os.getpid(), signal.SIGKILL)
        if os.environ.get(_NODE) == "second" and self._take("machine"):
            os.kill(os.getppid(), signal.SIGKILL)
            threading.Event().wait()
        wait_until(lambda: not (self._orders / "machine").exists())
        return super().images(files)

    def _take(self, order: str) -> bool:
        try:
            (self._orders / order).unlink()
        except FileNotFoundError:
            return False
        return True

    def elsewhere(self) -> Callable[[int | None], Embedder]:
        return partial(_faulty, self.model, self._orders)


def _faulty(model: str, orders: Path, threads: int | None) -> Faulty:
    wait_until(lambda: not (orders / "wait").exists(), 300)
    if (orders / "blind").exists():
        shards.read_bytes = _unreadable
    return Faulty(model, orders, threads=threads)


def _unreadable(item: Input) -> bytes:
    raise InvalidImage("the file cannot be read: No such file or directory", "unreadable")
