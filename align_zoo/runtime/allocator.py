"""glibc's allocator: which pages it keeps for a tower, and which it gives back."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["give_back", "keep_warm"]

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_NEVER, _GROWTH = -1, 64 << 20


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


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None
