"""When Python's garbage collector looks at what."""

from __future__ import annotations

import atexit
import gc

__all__ = ["spare_what_stays"]


def spare_what_stays() -> None:
    """Never look again through what there is by now: imports, a model, what serves.

    It stays as long as the process, and looking through it takes 50 ms and more, in which callers
    wait. What comes later is collected as before.
    """
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # libraries that count what they leave behind find nothing
