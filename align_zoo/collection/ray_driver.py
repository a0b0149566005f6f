"""The process that drives Ray for :mod:`align_zoo.collection.ray_engine`, and Ray's workers.

Workers are replaced when they die, and their shards are computed again: the bookkeeping is here
rather than in Ray, whose retries know no end, and wait silently for machines that never come.
"""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from align_zoo.collection.ray_cluster import join_cluster, share_out
from align_zoo.collection.ray_engine import Setup, end_session
from align_zoo.collection.shards import Shard, embed_shard
from align_zoo.collection.sources import read_bytes
from align_zoo.errors import AlignZooError, InvalidImage

if TYPE_CHECKING:
    import pyarrow as pa

    from align_zoo.collection.embedder import Embedder

__all__ = ["Worker", "main"]

_TRIES = 3
"""Of a shard, and of starting a worker while none gets ready, until the run ends."""
_AHEAD = 2
"""Shards of a worker: one is computed while the next one waits, so that none waits for a commit."""
_LOOK_SECONDS = 1.0
_LONGEST_REASON = 300


def main() -> None:
    """Drive Ray for the process at the other end of the connection, whose number is given."""
    threading.Thread(target=_end_with_parent, args=(sys.argv[2],), daemon=True).start()
    with Connection(int(sys.argv[1])) as connection:
        os.set_inheritable(connection.fileno(), False)
        setup: Setup = connection.recv()
        try:
            _Run(connection, setup).run()
        except AlignZooError as error:
            connection.send(("error", str(error)))
        else:
            connection.send(("done",))


def _end_with_parent(temporary: str) -> None:
    """Wait until the standard input ends, which the parent holds; then end all that was started."""
    while os.read(0, 1):
        pass
    end_session(os.getpid())
    shutil.rmtree(temporary, ignore_errors=True)
    os._exit(1)


class Worker:
    """A process with an encoder of its own, on any machine."""

    def hello(self) -> str:
        """Return the machine's name: this worker has got its place."""
        return os.uname().nodename

    def load(self, pickled: bytes, fingerprint: str, threads: int | None) -> str:
        """Make the embedder; return why it cannot be used, or nothing."""
        try:
            self._embedder: Embedder = pickle.loads(pickled)(threads)
        except AlignZooError as error:
            return str(error)
        if self._embedder.fingerprint != fingerprint:
            return (
                f"there it is another one, {self._embedder.fingerprint} and not {fingerprint}; "
                "copy the same files to each machine"
            )
        return ""

    def embed(self, shard: Shard, dim: int) -> pa.Table | str:
        """Compute the rows of a shard; return why no image of it can be computed."""
        try:
            return embed_shard(shard, self._embedder, dim)
        except AlignZooError as error:
            return str(error)


@dataclass(eq=False)
class _Hired:
    """A worker as the driver sees it."""

    actor: Any
    host: str = ""
    """The machine's name; empty until the worker has a place."""
    ready: bool = False
    tasks: deque[int] = field(default_factory=deque)
    """Numbers of the shards that it has; the first is computed at the moment."""


class _Run:
    """The run of all shards over the workers."""

    def __init__(self, connection: Connection, setup: Setup) -> None:
        self._connection, self._setup = connection, setup
        self._waiting: dict[Any, tuple[_Hired, str, int]] = {}
        """What Ray has been asked for: of which worker, the method, and the shard's number."""
        self._shards: dict[int, Shard] = {}
        self._again: deque[int] = deque()
        self._tries: dict[int, int] = {}
        self._all_taken = False
        self._failed_starts = 0
        self._since = time.monotonic()

    def run(self) -> None:
        """Compute all shards.

        Raises:
            AlignZooError: it is not possible.
        """
        self._ray = ray = join_cluster(self._setup)
        self._connection.send(("started",))
        self._size = share_out(self._setup, ray)
        self._hired = [self._hire() for _ in range(self._size.workers)]
        while self._hand_out():
            done, _ = ray.wait(list(self._waiting), num_returns=1, timeout=_LOOK_SECONDS)
            for each in done:
                self._settle(each)
            self._check_start()
        if self._setup.address:
            ray.shutdown()

    def _hire(self) -> _Hired:
        size = self._size
        actor = self._ray.remote(Worker).options(
            num_cpus=size.cpus, num_gpus=size.gpus, scheduling_strategy="SPREAD"
        )
        hired = _Hired(actor.remote())
        self._waiting[hired.actor.hello.remote()] = (hired, "hello", 0)
        return hired

    def _hand_out(self) -> bool:
        """Give each ready worker its shards; return whether there is anything left to wait for."""
        for depth in range(_AHEAD):
            for hired in self._hired:
                if hired.ready and len(hired.tasks) == depth:
                    number = self._next()
                    if number is None:
                        break
                    hired.tasks.append(number)
                    asked = hired.actor.embed.remote(self._shards[number], self._setup.dim)
                    self._waiting[asked] = (hired, "embed", number)
        return bool(self._shards) or not self._all_taken

    def _next(self) -> int | None:
        if self._again:
            return self._again.popleft()
        if not self._all_taken:
            self._connection.send(("more",))
            if (item := self._connection.recv()) is not None:
                number, self._shards[item[0]] = item
                return int(number)
            self._all_taken = True
        return None

    def _settle(self, asked: Any) -> None:
        """Take an answer of a worker, or its death."""
        if asked not in self._waiting:  # of a worker that was given up a moment ago
            return
        hired, method, number = self._waiting.pop(asked)
        errors = self._ray.exceptions
        try:
            answer = self._ray.get(asked)
        except errors.RayTaskError as error:
            raise AlignZooError(f"a worker on {hired.host}: {error.cause!r}") from error
        except errors.RayError as error:
            self._lose(hired, _reason(error))
            return
        if method == "hello":
            hired.host = answer
            self._since = time.monotonic()
            setup, threads = self._setup, self._size.threads
            loading = hired.actor.load.remote(setup.embedder, setup.fingerprint, threads)
            self._waiting[loading] = (hired, "load", 0)
        elif isinstance(answer, str) and answer:
            if method == "load":
                raise AlignZooError(
                    f"the checkpoint {self._setup.model} cannot be used on {hired.host}: {answer}"
                )
            raise AlignZooError(f"{hired.host}: {answer}")
        elif method == "load":
            hired.ready = True
        else:
            hired.tasks.remove(number)
            self._take(hired, number, answer)

    def _take(self, hired: _Hired, number: int, rows: pa.Table) -> None:
        if unseen := _unseen(self._shards[number], rows):
            self._try_again(
                number, f"{unseen} is on this machine, and {hired.host} cannot read it: mount it"
            )
            return
        self._connection.send(("rows", number, rows))
        del self._shards[number]
        self._tries.pop(number, None)
        self._failed_starts = 0

    def _lose(self, hired: _Hired, reason: str) -> None:
        """Give a worker up, its shards to others, and its place to a new one."""
        self._hired.remove(hired)
        self._waiting = {
            asked: waiting for asked, waiting in self._waiting.items() if waiting[0] is not hired
        }
        with suppress(Exception):  # it is dead, mostly
            self._ray.kill(hired.actor)
        if hired.tasks:
            self._again.extend(list(hired.tasks)[1:])
            self._try_again(hired.tasks[0], f"{hired.host}: {reason}")
        elif not hired.ready:
            self._failed_starts += 1
            if self._failed_starts >= _TRIES:
                raise AlignZooError(f"no worker can be started: {reason}")
        self._hired.append(self._hire())

    def _try_again(self, number: int, reason: str) -> None:
        self._tries[number] = self._tries.get(number, 0) + 1
        if self._tries[number] >= _TRIES:
            items = self._shards[number].items
            raise AlignZooError(
                f"the {len(items)} images from {items[0].path} on could not be computed, "
                f"tried {_TRIES} times: {reason}"
            )
        self._again.append(number)

    def _check_start(self) -> None:
        """End the run when there has been no worker for too long.

        Raises:
            AlignZooError: with the reason.
        """
        now = time.monotonic()
        if any(hired.ready for hired in self._hired):
            self._since = now
        waited, setup = now - self._since, self._setup
        if loading := [hired.host for hired in self._hired if hired.host]:
            if waited > setup.load_seconds:
                raise AlignZooError(
                    f"no worker is ready after {waited:.0f} s: "
                    f"{loading[0]} still loads the checkpoint {setup.model}"
                )
        elif waited > setup.place_seconds:
            there, free = self._ray.cluster_resources(), self._ray.available_resources()
            has = ", ".join(
                f"{free.get(name, 0):g} of {there.get(name, 0):g} {name} free"
                for name in ("CPU", "GPU")
            )
            raise AlignZooError(
                f"no worker has a place after {waited:.0f} s: "
                f"a worker asks for {self._size}, and the cluster has {has}"
            )


def _unseen(shard: Shard, rows: pa.Table) -> str | None:
    """Return an image's path that a worker cannot read, although it can be read here."""
    for item, reason in zip(shard.items, rows["reason"].to_pylist(), strict=True):
        if reason == "unreadable" and "://" not in (item.file or item.path):
            with suppress(InvalidImage):
                read_bytes(item)
                return item.path
    return None


def _reason(error: Exception) -> str:
    """Shorten what Ray says of a death, mostly twenty lines."""
    text = " ".join(str(error).split())
    for start in ("exit detail: ", "ModuleNotFoundError: "):
        if start in text:
            text = text[text.index(start) :].removeprefix("exit detail: ")
    return text[:_LONGEST_REASON]
