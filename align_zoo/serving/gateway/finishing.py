"""Work that is finished although nobody waits for it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["Finishing"]

_Result = TypeVar("_Result")


class Finishing:
    """Runs work in tasks of its own, so that what it holds is held until it is done."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()  # an event loop itself holds them weakly

    async def run(self, work: Coroutine[Any, Any, _Result], begun: Callable[[], bool]) -> _Result:
        """What ``work`` returns or raises.

        Args:
            work: if this call is cancelled, it goes on if it has ``begun``; else it is, too.
            begun: whether it cannot be called off any more.
        """
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not begun():
                task.cancel()
                await asyncio.wait({task})  # its place is free before the caller hears of it
            raise

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # asked for: asyncio reports those that nobody has seen
