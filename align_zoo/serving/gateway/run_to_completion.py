"""Work that is finished although nobody waits for it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["run_to_completion"]

_Result = TypeVar("_Result")
_TASKS: set[asyncio.Task[Any]] = set()
"""Those under way: an event loop itself holds them weakly."""


async def run_to_completion(
    work: Coroutine[Any, Any, _Result], begun: Callable[[], bool]
) -> _Result:
    """Run ``work`` in a task of its own, so that what it holds is held until it is done.

    Args:
        work: if this call is cancelled, it goes on if it has ``begun``; else it is, too.
        begun: whether it cannot be called off any more.

    Returns:
        What ``work`` returns; what it raises is raised.
    """
    task = asyncio.create_task(work)
    _TASKS.add(task)
    task.add_done_callback(_done)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not begun():
            task.cancel()
            await asyncio.wait({task})  # its place is free before the caller hears of it
        raise


def _done(task: asyncio.Task[Any]) -> None:
    _TASKS.discard(task)
    if not task.cancelled():
        task.exception()  # asked for: asyncio reports those that nobody has seen
