"""Counts the cores that this process may use: by its affinity and by the quota of its container.

``os.cpu_count()`` counts all cores of the machine. If 64 threads share the time of four cores, each
decodes an image, and all wait for the threads that the kernel has stopped.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Iterator

__all__ = ["usable_cores"]

_ROOT = Path("/")


def usable_cores() -> int:
    """Return the number of usable cores, at least 1; a quota of 1.5 cores counts as 2."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:  # not on Linux
        allowed = os.cpu_count() or 1
    return max(1, math.ceil(min([allowed, *_quotas()])))


def _quotas() -> Iterator[float]:
    """Yield the limits of the process's control group and of its parents, in cores."""
    mounted = _ROOT / "sys/fs/cgroup"
    for line in _read(_ROOT / "proc/self/cgroup").split("\n"):
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = mounted / "cpu" if controllers else mounted  # version 1, or version 2
        group = top / path.lstrip("/")
        # A container may see its group at the top, or under a path that exists only on its host.
        for each in (group, *(above for above in group.parents if above.is_relative_to(top))):
            share = _read(each / "cpu.max").split() or [
                _read(each / "cpu.cfs_quota_us"),
                _read(each / "cpu.cfs_period_us"),
            ]
            try:
                quota, period = map(float, share)
            except ValueError:  # "max", or no such file
                continue
            if quota > 0 and period > 0:  # -1 means no quota
                yield quota / period


def _read(path: Path) -> str:
    try:
        return os.fsdecode(path.read_bytes()).strip()
    except OSError:
        return ""
