"""A process's share of the machine: cores, PyTorch's threads, and its memory.

ONNX Runtime counts the machine's cores, and PyTorch the cores of the affinity. Neither counts a
container's quota: of 64 threads on the time of four cores, all wait for the threads that the kernel
stops.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = [
    "cores",
    "give_back",
    "keep_some",
    "keep_warm",
    "set_torch_threads",
    "spare_what_stays",
    "with_huge_pages",
]

_ROOT = Path("/")

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -2, -3, -4
_NEVER, _GROWTH, _SOME = -1, 64 << 20, 32 << 20
_HUGE_PAGES = "glibc.malloc.hugetlb"


def cores() -> int:
    """Count the cores that this process may use, by its affinity and by its cgroup's quota.

    Two hardware threads of one core count once, as they do for ONNX Runtime and PyTorch, because
    both share the units that multiply matrices. A quota of one and a half cores counts as two.
    """
    return max(1, math.ceil(min(_physical(), _quota())))


def set_torch_threads(threads: int | None = None) -> None:
    """Set the number of PyTorch's CPU threads in this process.

    Args:
        threads: by default PyTorch's own choice, but at most ``cores``. PyTorch's choice follows
            the affinity, but not a container's quota.
    """
    import torch  # here, because a server on exported towers imports this module without torch

    torch.set_num_threads(threads or min(cores(), torch.get_num_threads()))


def keep_warm() -> bool:
    """Keep freed memory in the process from now on; call this function before the work.

    A forward pass frees arrays of many megabytes. By default glibc returns their pages to the
    kernel, and then asks for the same pages again, one by one. After this call the process's
    resident memory stays at its peak.

    Returns:
        True if the allocator is set; False, with nothing changed, if the C library is not glibc.
    """
    return _set({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _NEVER, _M_TOP_PAD: _GROWTH})


def keep_some() -> bool:
    """Keep up to 32 MB of freed memory from now on, for the next image or message.

    An image or a message takes some megabytes. Until a process has freed a larger block, glibc
    returns their pages to the kernel each time, and Python's lock is held meanwhile. Call this
    function before :func:`keep_warm`, which keeps more.

    Returns:
        As :func:`keep_warm`.
    """
    return _set({_M_MMAP_THRESHOLD: _SOME, _M_TRIM_THRESHOLD: _SOME})


def give_back() -> bool:
    """Return free memory to the kernel: after loading, not between forward passes.

    Returns:
        Whether the kernel got any memory back.
    """
    libc = _glibc()
    return libc is not None and libc.malloc_trim(0) == 1


def spare_what_stays() -> None:
    """Exclude all current objects from garbage collection: imports, the model, the service.

    These objects live as long as the process, and scanning them takes 50 ms and more, during which
    callers wait. Later objects are collected as before.
    """
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # some libraries report objects that are alive at the exit


def with_huge_pages(env: Mapping[str, str]) -> dict[str, str]:
    """Copy ``env`` for a new process, whose glibc (2.35 or newer) then asks for huge pages.

    A tower reads all its weights for a single item, and the lookup of 100,000 small pages takes
    a twentieth of that time. A value of ``glibc.malloc.hugetlb`` that is already in ``env`` stays,
    and a system without huge pages gives small ones as before.
    """
    tunables = env.get("GLIBC_TUNABLES", "")
    if _HUGE_PAGES in tunables:
        return dict(env)
    return {**env, "GLIBC_TUNABLES": ":".join(filter(None, (tunables, f"{_HUGE_PAGES}=1")))}


def _physical() -> int:
    if not hasattr(os, "sched_getaffinity"):  # not on Linux
        return os.cpu_count() or 1
    return len({_siblings(cpu) for cpu in os.sched_getaffinity(0)})


def _siblings(cpu: int) -> str:
    """Read the hardware threads of the core of ``cpu``, in the kernel's notation."""
    path = _ROOT / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
    return _read(path) or str(cpu)


def _quota() -> float:
    """Return the quota in cores: the least of all the groups that lie within each other."""
    return min(map(_quota_of, _groups()), default=math.inf)


def _groups() -> Iterator[Path]:
    """Yield the folders of this process's cgroup and of the groups around it, in both versions."""
    mounted = _ROOT / "sys/fs/cgroup"
    for line in _read(_ROOT / "proc/self/cgroup").split("\n"):
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = mounted / ("cpu" if controllers else "")
        group = top / path.lstrip("/")
        # Inside a container the path may be "/", or a name that only the host can resolve.
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


def _set(settings: Mapping[int, int]) -> bool:
    libc = _glibc()
    return libc is not None and all(libc.mallopt(*setting) == 1 for setting in settings.items())


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None
