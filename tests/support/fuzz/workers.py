"""Mutated images in processes of their own, so that a crash or a hang costs one image."""

from __future__ import annotations

import multiprocessing
import os
import re
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fuzz.images import try_images
from fuzz.outcomes import Outcomes

__all__ = ["Worker", "decode_in_processes"]

_MOST_SECONDS = 20.0
"""For one image: a sound one of 50 megapixels takes a few."""
_MOST_MB = 1_100.0
"""Above what a process has before: 20 bytes for each of 50 million pixels, and some."""
_AT_ONCE = 200

_context = multiprocessing.get_context("spawn")


def decode_in_processes(
    first: int, count: int, processes: int, progress: Callable[[int], None]
) -> Outcomes:
    """Decode the images of ``count`` seeds from ``first`` on."""
    outcomes = Outcomes("images, decoded")
    workers = [Worker(range(first + i, first + count, processes)) for i in range(processes)]
    while workers:
        for worker in list(workers):
            part = worker.news()
            if part:
                outcomes.add(part)
                progress(part.tried)
            elif worker.finished:
                workers.remove(worker)
    return outcomes


class Worker:
    """Goes through its seeds, with a new process where one has died or hung.

    Args:
        seeds: of its images.
        most_seconds: for one of them.
    """

    def __init__(self, seeds: range, *, most_seconds: float = _MOST_SECONDS) -> None:
        self._seeds, self._most_seconds = seeds, most_seconds
        self.finished = not seeds
        self._start()

    def news(self) -> Outcomes | None:
        """What has been done since, after a tenth of a second at most; None if nothing was."""
        if self.finished:
            return None
        try:
            if self._receiver.poll(0.1):
                part = self._receiver.recv()
                self._seeds = self._seeds[part.tried :]
                self.finished = not self._seeds
                return part
        except EOFError:
            self.process.join()
            return self._lost(f"the process died with exit code {self.process.exitcode}")
        if time.monotonic() - self._begun.value > self._most_seconds:
            self.process.kill()
            self.process.join()
            return self._lost(f"no end within {self._most_seconds:g} s")
        return None

    def _lost(self, how: str) -> Outcomes:
        at = self._seed.value
        seed = at if at in self._seeds else self._seeds[0]  # it may not have begun yet
        done = self._seeds.index(seed) + 1
        self._seeds = self._seeds[done:]
        self.finished = not self._seeds
        if not self.finished:
            self._start()
        return Outcomes("images, decoded", done, faults=[f"image {seed}: {how}"])

    def _start(self) -> None:
        self._receiver, sender = _context.Pipe(duplex=False)
        self._seed = _context.Value("q", self._seeds[0] if self._seeds else 0)
        # Begins with the first image: importing takes its time.
        self._begun = _context.Value("d", float("inf"))
        arguments = (self._seeds, sender, self._seed, self._begun)
        self.process = _context.Process(target=_work, args=arguments, daemon=True)
        self.process.start()
        sender.close()


def _work(seeds: range, sender: Connection, seed: Any, begun: Any) -> None:
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff complains there of every image

    def told(part: range) -> Any:
        for each in part:
            seed.value, begun.value = each, time.monotonic()
            yield each

    try_images(range(50))  # memory that is taken once, before memory is measured
    before = _peak_mb()
    for start in range(0, len(seeds), _AT_ONCE):
        part = seeds[start : start + _AT_ONCE]
        outcomes = try_images(told(part))
        outcomes.peak_mb = _peak_mb() - before
        if outcomes.peak_mb > _MOST_MB:
            outcomes.faults.append(f"images {part}: {outcomes.peak_mb:.0f} MB were taken")
        sender.send(outcomes)


def _peak_mb() -> float:
    # getrusage's begins with that of the process that has started this one.
    found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0
