"""How many cores there are to compute on.

ONNX Runtime asks the machine alone, PyTorch the affinity as well; of a container's quota neither
knows. With 64 threads on the time of four cores all wait for those that the kernel has stopped.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["cores"]

_ROOT = Path("/")


def cores() -> int:
    """The cores that this process may use: by its affinity, and by the quota of its cgroup.

    Two hardware threads of one core count once, as they do for ONNX Runtime and PyTorch: they
    share what multiplies matrices. A quota of one and a half cores counts as two.
    """
    return max(1, math.ceil(min(_physical(), _quota())))


def _physical() -> int:
    if not hasattr(os, "sched_getaffinity"):  # not on Linux
        return os.cpu_count() or 1
    return len({_siblings(cpu) for cpu in os.sched_getaffinity(0)})


def _siblings(cpu: int) -> str:
    """The hardware threads of this one's core, as the kernel writes them."""
    path = _ROOT / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
    return _read(path) or str(cpu)


def _quota() -> float:
    """In cores; of groups within each other the least counts."""
    return min(map(_quota_of, _groups()), default=math.inf)


def _groups() -> Iterator[Path]:
    """The folders of this process's cgroup and of those around it, in both versions."""
    mounted = _ROOT / "sys/fs/cgroup"
    for line in _read(_ROOT / "proc/self/cgroup").split("\n"):
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = mounted / ("cpu" if controllers else "")
        group = top / path.lstrip("/")
        # A container may see itself at the top, or by a name that only its host can follow.
        yield from (group, *(each for each in group.parents if each.is_relative_to(top)))


def _quota_of(group: Path) -> float:
    quota, _, period = _read(group / "cpu.max").partition(" ")  # "max 100000" without a quota
    if not quota:
        quota, period = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
    try:
        share = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):
        return math.inf
    return share if share > 0 else math.inf  # -1 without a quota


def _read(path: Path) -> str:
    try:
        return os.fsdecode(path.read_bytes()).strip()  # a group's name may be any bytes
    except OSError:
        return ""
