"""Settings of Python's garbage collector for long-running processes."""

from __future__ import annotations

import atexit
import gc

__all__ = ["spare_what_stays"]


def spare_what_stays() -> None:
    """Exclude all current objects from garbage collection: imports, the model, the service.

    These objects live as long as the process, and scanning them takes 50 ms and more, during which
    callers wait. Later objects are collected as before.
    """
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # some libraries report objects that are alive at the exit
