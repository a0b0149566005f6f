"""A script: read batches that cannot be read, and say what was raised, a line for each case.

Arguments: cases, each of four parts between colons: the error's name; "main" or "other" for the
thread that reads; "dies" or "lives" for the worker; how many workers. Each case has a process of
its own, and all share what is imported.
"""

from __future__ import annotations

import builtins
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from align_zoo.training.loading import dead_workers_named, read_ahead


class Unreadable:
    """Raises the error where it is read; where its worker dies, on the way from there."""

    def __init__(self, error: type[Exception], *, dies: bool) -> None:
        self.error, self.dies = error, dies

    def __getitem__(self, index: int) -> Unreadable:
        if self.dies:
            return self
        raise self.error("cannot be read")

    def __reduce__(self) -> tuple:
        return _meet_a_cut_connection, (self.error, os.getpid())


def _meet_a_cut_connection(error: type[Exception], worker: int) -> None:
    # The connection is cut before the death is known.
    threading.Timer(0.2, os.kill, (worker, signal.SIGKILL)).start()
    raise error("cut")


def _said(name: str, thread: str, fate: str, workers: str) -> str:
    def read() -> None:
        with dead_workers_named():
            list(read_ahead(batches, range(9), workers=int(workers)))

    batches = Unreadable(getattr(builtins, name), dies=fate == "dies")
    try:
        read() if thread == "main" else ThreadPoolExecutor(1).submit(read).result()
    except Exception as raised:
        return f"{type(raised).__name__}: {raised}"
    return ""


for case in sys.argv[1:]:
    child = os.fork()
    if not child:
        print(" ".join(_said(*case.split(":")).splitlines()), flush=True)
        sys.exit()
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{case} ended its process")
