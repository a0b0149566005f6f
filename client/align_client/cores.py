"""How many cores this process may compute on: by its affinity, and by a container's quota.

``os.cpu_count()`` tells the machine's. With 64 threads on the time of four cores all wait for those
that the kernel has stopped, and each decodes a picture of its own.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Iterator

__all__ = ["usable_cores"]

_ROOT = Path("/")


def usable_cores() -> int:
    """Return at least 1; a quota of one and a half cores counts as two."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:  # not on Linux
        allowed = os.cpu_count() or 1
    return max(1, math.ceil(min([allowed, *_quotas()])))


def _quotas() -> Iterator[float]:
    """Yield the limits of the process's control group and of those around it, in cores."""
    mounted = _ROOT / "sys/fs/cgroup"
    for line in _read(_ROOT / "proc/self/cgroup").split("\n"):
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = mounted / "cpu" if controllers else mounted  # version 1, or 2
        group = top / path.lstrip("/")
        # A container may see itself at the top, or by a name that only its host can follow.
        for each in (group, *(above for above in group.parents if above.is_relative_to(top))):
            share = _read(each / "cpu.max").split() or [
                _read(each / "cpu.cfs_quota_us"),
                _read(each / "cpu.cfs_period_us"),
            ]
            try:
                quota, period = map(float, share)
            except ValueError:  # "max", or nothing
                continue
            if quota > 0 and period > 0:  # -1 for none
                yield quota / period


def _read(path: Path) -> str:
    try:
        return os.fsdecode(path.read_bytes()).strip()
    except OSError:
        return ""
