"""`align-zoo serve` in a process of its own, and the processes below it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from align_zoo.serving.credentials import OPEN, Access
from align_zoo.serving.probe import explain, probe
from align_zoo.serving.triton.command import ServeOptions

__all__ = ["Service", "running_service", "until"]

_PROGRAM = str(Path(sys.executable).with_name("align-zoo"))


class Service:
    """A service that can be started again on the same ports.

    Args:
        model: what it serves.
        log: where its output goes, all runs in one file.
        flags: further flags of `align-zoo serve`.
        wrapper: a command that starts it, ["unshare", "--mount"].
        env: changes to the environment.
        program: the `align-zoo` of another installation.
        access: what it demands of its callers.
    """

    def __init__(
        self,
        model: str,
        log: Path,
        *flags: str,
        wrapper: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        program: str | Path = _PROGRAM,
        access: Access = OPEN,
    ) -> None:
        free = ServeOptions().on_free_ports()
        self.url = f"{free.host}:{free.grpc_port}"
        self.http = f"http://{free.host}:{free.http_port}"
        self.metrics = f"http://{free.host}:{free.metrics_port}/metrics"
        self.log = log
        self.access = access
        self.grpc_port = free.grpc_port
        self.env = {**os.environ, **(env or {})}
        self.command = [
            *wrapper,
            str(program),
            "serve",
            f"--model={model}",
            f"--grpc-port={free.grpc_port}",
            f"--http-port={free.http_port}",
            f"--metrics-port={free.metrics_port}",
            *flags,
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return when both models answer."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, env=self.env, stdout=output, stderr=subprocess.STDOUT
            )
        until(
            lambda: self.ended() or explain(probe(self.url, access=self.access))[0],
            120,
            "the service answers",
        )
        assert not self.ended(), self.log.read_text(encoding="utf-8", errors="replace")[-3000:]

    def stop(self) -> int:
        """End it as an operator does; its exit code."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(90)

    def ended(self) -> bool:
        """Whether the process itself is gone."""
        return self.process is None or self.process.poll() is not None

    def health(self) -> dict[str, Any]:
        """What /healthz says; {} if nothing does."""
        try:
            with urllib.request.urlopen(f"{self.http}/healthz", timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)
        except OSError:
            return {}

    def pids(self) -> list[int]:
        """Of all its processes, its own first."""
        assert self.process
        parents = _parents()
        found = [self.process.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def tritonserver(self) -> int:
        """The server's process id."""
        return next(pid for pid in self.pids() if "bin/tritonserver" in _words(pid)[0])

    def model_process(self, model: str) -> int:
        """The process id of a model's Python."""
        return next(
            pid
            for pid in self.pids()
            if "triton_python_backend_stub" in _words(pid)[0]
            and any(f"/{model}/" in word for word in _words(pid))
        )

    def shared_memory(self) -> set[Path]:
        """The files in /dev/shm that its processes use now."""
        lines = [line for pid in self.pids() for line in _maps(pid)]
        return {Path(line[line.index("/dev/shm/") :]) for line in lines if "/dev/shm/" in line}

    def resident(self) -> dict[str, int]:
        """Resident memory in bytes of each process, by a name that lasts over restarts."""
        return {
            f"{Path(_words(pid)[0]).name} {number}": _resident(pid)
            for number, pid in enumerate(self.pids())
        }


@contextmanager
def running_service(model: str, log: Path, *flags: str, **options: Any) -> Iterator[Service]:
    """A service that answers; it is ended on leaving, whatever state it is in."""
    service = Service(model, log, *flags, **options)
    try:
        service.start()
        yield service
    finally:
        if not service.ended():
            try:
                service.stop()
            except subprocess.TimeoutExpired:
                for pid in reversed(service.pids()):
                    os.kill(pid, signal.SIGKILL)
                raise


def until(true: Callable[[], Any], seconds: float, what: str) -> float:
    """Wait for a condition; the seconds that it took.

    Raises:
        TimeoutError: it did not come.
    """
    start = time.monotonic()
    while not true():
        if time.monotonic() - start > seconds:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)
    return time.monotonic() - start


def _parents() -> dict[int, int]:
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
    return parents


def _words(pid: int) -> list[str]:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().decode().split("\0")
    except OSError:
        return [""]


def _maps(pid: int) -> list[str]:
    try:
        return (Path("/proc") / str(pid) / "maps").read_text().splitlines()
    except OSError:
        return []


def _resident(pid: int) -> int:
    try:
        pages = int((Path("/proc") / str(pid) / "statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
