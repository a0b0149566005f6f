"""glibc's allocator: which pages it keeps for a tower, and which it gives back."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping

__all__ = ["give_back", "keep_warm", "with_huge_pages"]

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_NEVER, _GROWTH = -1, 64 << 20
_HUGE_PAGES = "glibc.malloc.hugetlb"


def keep_warm() -> bool:
    """Let freed memory stay with the process, from here on; to be called before the work.

    A forward pass frees maps of many megabytes, which glibc gives back to the kernel and then
    asks for again, page by page. Afterwards the process's resident memory stays at its peak.

    Returns:
        Whether it was done: False where the C library is not glibc, and nothing has changed.
    """
    libc = _glibc()
    settings = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _NEVER, _M_TOP_PAD: _GROWTH}
    return libc is not None and all(libc.mallopt(*setting) == 1 for setting in settings.items())


def give_back() -> bool:
    """Return to the kernel what is free now: after loading, not between forward passes.

    Returns:
        Whether anything was returned.
    """
    libc = _glibc()
    return libc is not None and libc.malloc_trim(0) == 1


def with_huge_pages(env: Mapping[str, str]) -> dict[str, str]:
    """``env`` for a new process whose glibc (2.35 or newer) asks the kernel for huge pages.

    A tower reads all its weights for a single item, and looking up 100,000 small pages takes a
    twentieth of that time. Who has set ``glibc.malloc.hugetlb`` otherwise is heeded, and so is a
    system that gives no huge pages.
    """
    tunables = env.get("GLIBC_TUNABLES", "")
    if _HUGE_PAGES in tunables:
        return dict(env)
    return {**env, "GLIBC_TUNABLES": ":".join(filter(None, (tunables, f"{_HUGE_PAGES}=1")))}


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None
