"""For how long of an image's work the interpreter's lock is held, seen from another process."""

from __future__ import annotations

import ctypes
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from align_zoo.checkpoint.folder import open_checkpoint
from align_zoo.inputs.preprocess import read_transform
from align_zoo.runtime.images import ImageBatcher
from align_zoo.runtime.machine import keep_some, spare_what_stays, with_huge_pages

__all__ = ["lock_held"]


def lock_held(folder: Path, files: Sequence[bytes], seconds: float) -> float | None:
    """Return for how many CPU milliseconds of an image a thread holds the interpreter's lock.

    A process embeds images one after another in one thread, as the model's process does and with
    its settings of memory, through a tower that does nothing. This process reads meanwhile, from
    the other's memory, which thread holds the lock. Each read counts as much as the CPU time that
    the other has used since the one before, so that a thread that the kernel has stopped does not
    count. The share of the reads with a holder, times the CPU time of an image, is the result.

    Args:
        folder: a checkpoint, of which the transform is used.
        files: encoded images.
        seconds: the CPU seconds of work during which the lock is looked at.

    Returns:
        None where Python does not keep the holder in one place (3.12 and newer).
    """
    with tempfile.TemporaryDirectory() as scratch:
        for i, data in enumerate(files):
            (Path(scratch) / f"{i}.jpg").write_bytes(data)
        with subprocess.Popen(
            [sys.executable, "-m", __name__, folder, scratch, str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=with_huge_pages(os.environ),
        ) as child:
            assert child.stdin and child.stdout
            places = json.loads(child.stdout.readline())
            held = spent = 0.0
            clock = (~child.pid << 3) | 2  # the clock of a process's CPU time, as glibc makes it
            with (Path("/proc") / str(child.pid) / "mem").open("rb", buffering=0) as memory:

                def read(place: int) -> bool:
                    return any(os.pread(memory.fileno(), 8, place))

                time.sleep(0.2)  # the child waits for its input, without the lock
                place = next((each for each in places if not read(each)), None)
                child.stdin.write("\n")
                child.stdin.flush()
                started = child.stdout.readline()
                assert started
                before = time.clock_gettime(clock)
                while not select.select([child.stdout], [], [], 0.0007)[0]:
                    if place is not None:
                        has_holder, now = read(place), time.clock_gettime(clock)
                        held, spent = held + has_holder * (now - before), spent + now - before
                        before = now
                line = child.stdout.readline()
    return None if place is None else held / spent * json.loads(line)


def _hold(folder: str, scratch: str, seconds: float) -> None:
    """Do the work of :func:`lock_held`; print the CPU milliseconds of an image."""
    keep_some()
    files = [path.read_bytes() for path in Path(scratch).iterdir()]
    batcher = ImageBatcher(read_transform(open_checkpoint(folder)), at_once=16)
    vectors = np.zeros((1, 128), np.float32)
    state = ctypes.pythonapi.PyThreadState_Get
    state.restype = ctypes.c_void_p
    mine = state()
    begin = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
    words = (ctypes.c_uint64 * 2000).from_address(begin)
    print(json.dumps([begin + 8 * i for i, word in enumerate(words) if word == mine]), flush=True)
    sys.stdin.readline()
    for data in files:
        list(batcher.portions([data], lambda _: vectors))
    spare_what_stays()
    print("begin", flush=True)
    start, count = time.thread_time(), 0
    while (spent := time.thread_time() - start) < seconds:
        list(batcher.portions([files[count % len(files)]], lambda _: vectors))
        count += 1
    print(json.dumps(1000 * spent / count), flush=True)


if __name__ == "__main__":
    _hold(sys.argv[1], sys.argv[2], float(sys.argv[3]))
