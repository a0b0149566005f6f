"""The watch over files that change while the service runs: certificates and tokens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from align_zoo.errors import AlignZooError
from align_zoo.serving.log import event

__all__ = ["renewal"]

_LOOK_SECONDS = 2.0


async def renewal(files: Sequence[Path], renew: Callable[[], Awaitable[None]]) -> None:
    """Call ``renew`` when one of the files has changed. Never return.

    An AlignZooError or OSError of ``renew`` is logged, and the earlier state stays in use: a new
    certificate may wait for its key. ``renew`` is called again until it succeeds; the same reason
    for the same files is logged once.
    """
    before, refused = _states(files), None
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        now = _states(files)
        changed, before = now != before, now
        if not changed and refused is None:
            continue
        names = [str(file) for file in files]
        try:
            await renew()
        except (AlignZooError, OSError) as error:  # a file may go while it is read
            if changed or str(error) != refused:
                event("not_renewed", level=logging.ERROR, files=names, reason=str(error))
            refused = str(error)
        else:
            refused = None
            event("renewed", files=names)


def _states(files: Sequence[Path]) -> list[tuple[int, ...] | None]:
    # Follow links: Kubernetes replaces the folder behind a link.
    return [_state(file) for file in files]


def _state(file: Path) -> tuple[int, ...] | None:
    with suppress(OSError):
        state = file.stat()
        # ctime also shows changed permissions, and new content with an old date.
        return state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size, state.st_ctime_ns
    return None
