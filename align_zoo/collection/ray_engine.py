"""The engine of several workers: Ray's, on this machine or on many.

Ray is driven by a process of its own (:mod:`align_zoo.collection.ray_driver`), so that its
settings, its signals and its end are not those of the process that writes.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import TYPE_CHECKING

from align_zoo.collection.shards import Shard
from align_zoo.errors import AlignZooError, to_install

if TYPE_CHECKING:
    import pyarrow as pa

    from align_zoo.collection.embedder import Embedder

__all__ = ["RayEngine", "Setup", "end_session"]

_PLACE_SECONDS = 600.0
"""The longest time until the cluster has a place for a worker; some clusters order machines."""
_LOAD_SECONDS = 1800.0
"""The longest time until a worker is ready, which may fetch and export a checkpoint first."""
_CONNECT_SECONDS = 180.0
"""The longest time until Ray itself answers: about ten seconds are usual."""
_END_SECONDS = 15.0
_LONGEST_TEMPORARY = 26
"""Characters: the paths of Ray's sockets may have 107 in all."""
_DRIVER = "from align_zoo.collection.ray_driver import main; main()"
_GONE = "Ray has ended before the run did"
_KEPT = "what is finished is kept"


@dataclass(frozen=True)
class Setup:
    """What a driver must know of a run."""

    embedder: bytes
    """The pickled function that makes the embedder from a number of threads."""
    model: str
    fingerprint: str
    dim: int
    workers: int | None
    address: str | None
    temporary: str
    place_seconds: float
    load_seconds: float


class RayEngine:
    """Computes shards in workers of Ray, each with an encoder of its own.

    >>> Collection.open("photos.collection").add("photos", workers=4)

    Args:
        workers: how many; by default one for each GPU of the cluster, or for four cores.
        address: a running cluster, of which this machine is a part; None for workers on this
            machine alone, in a Ray that ends with the run.

    Raises:
        AlignZooError: Ray is not installed.
    """

    def __init__(self, workers: int | None, address: str | None) -> None:
        if importlib.util.find_spec("ray") is None:
            raise AlignZooError(f"workers need ray: {to_install('.[collection,ray]')}")
        self._workers, self._address = workers, address

    def __call__(
        self,
        shards: Iterable[Shard],
        embedder: Embedder,
        dim: int,
        advance: Callable[[int], None],
    ) -> Generator[tuple[Shard, pa.Table], None, None]:
        """Compute the shards.

        Raises:
            AlignZooError: Ray or its workers cannot be started, a checkpoint cannot be loaded
                there, workers die at the same images again and again, or Ray ends.
        """
        folder = tempfile.gettempdir()
        temporary = tempfile.mkdtemp(
            prefix="align-", dir=folder if len(folder) <= _LONGEST_TEMPORARY else "/tmp"
        )
        setup = Setup(
            embedder=pickle.dumps(embedder.elsewhere()),
            model=embedder.model or "of the servers",
            fingerprint=embedder.fingerprint,
            dim=dim,
            workers=self._workers,
            address=self._address,
            temporary=temporary,
            place_seconds=_PLACE_SECONDS,
            load_seconds=_LOAD_SECONDS,
        )
        try:
            with _driver(temporary) as connection:
                yield from self._exchange(connection, setup, iter(shards), advance)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _exchange(
        self,
        connection: Connection,
        setup: Setup,
        shards: Iterator[Shard],
        advance: Callable[[int], None],
    ) -> Generator[tuple[Shard, pa.Table], None, None]:
        """Answer the driver, which asks for shards and returns rows, until it has all."""
        handed_out: dict[int, Shard] = {}
        count = 0
        try:
            connection.send(setup)
            if not connection.poll(_CONNECT_SECONDS):
                raise AlignZooError(
                    f"Ray at {self._address or 'this machine'} does not answer within "
                    f"{_CONNECT_SECONDS:.0f} s; {_KEPT}"
                )
            while True:
                kind, *content = connection.recv()
                if kind == "more":
                    shard = next(shards, None)
                    if shard is not None:
                        count += 1
                        handed_out[count] = shard
                    connection.send(shard and (count, shard))
                elif kind == "rows":
                    number, rows = content
                    shard = handed_out.pop(number)
                    advance(len(shard.items))
                    yield shard, rows
                elif kind == "error":
                    raise AlignZooError(f"{content[0]}; {_KEPT}")
                elif kind == "done":
                    return
        except (EOFError, ConnectionError) as error:
            raise AlignZooError(f"{_GONE}: {_last_words(setup)}; {_KEPT}") from error


@contextmanager
def _driver(temporary: str) -> Iterator[Connection]:
    """Start the driver; whatever happens, nothing of it and of its Ray stays.

    The driver leads a session, so a terminal's Ctrl-C does not reach it, and all that it starts
    can be found. It ends this session itself when its standard input does, that is when this
    process is killed.
    """
    ours, theirs = Pipe()
    with ours:
        with theirs, Path(temporary, "driver.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", _DRIVER, str(theirs.fileno()), temporary],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        try:
            yield ours
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)
        finally:
            process.kill()
            end_session(process.pid)
            process.wait()
            if process.stdin:
                process.stdin.close()


def end_session(leader: int) -> None:
    """Kill the processes of the session of ``leader``, but for this one and the leader itself.

    Ray's processes are in several groups, and some outlive their parents for minutes.
    """
    while found := [pid for pid in _session(leader) if pid not in (leader, os.getpid())]:
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _session(leader: int) -> Iterator[int]:
    """Yield the living processes of a session, as /proc shows them."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if fields[3] == str(leader) and fields[0] not in "ZX":
            yield int(folder.name)


def _last_words(setup: Setup) -> str:
    try:
        text = Path(setup.temporary, "driver.log").read_text(errors="replace")
    except OSError:
        text = ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
