"""All tritonservers of one service: numbered as they start, and none outlives it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from align_zoo.serving.log import event
from align_zoo.serving.routing import Backends
from align_zoo.serving.supervision.run_folder import RunFolder
from align_zoo.serving.supervision.running import Running, Stumbled, start
from align_zoo.serving.triton.command import ServeOptions

__all__ = ["Servers"]

_STUMBLES = 2
"""Starts that may fail by a fault of tritonserver's own."""

_FAILING_SECONDS = 5.0
"""For the calls on a killed server to notice."""


class Servers:
    """Starts and ends them. For one event loop.

    Args:
        backends: knows the calls on each.
        folder: where their sockets and their names in /dev/shm are.
    """

    def __init__(self, backends: Backends, folder: RunFolder) -> None:
        self._backends = backends
        self._folder = folder
        self._number = 0
        self._alive: set[Running] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, options: ServeOptions) -> Running:
        """One more, which answers.

        Raises:
            AlignZooError: it cannot start, or does not answer as it should.
        """
        for _ in range(_STUMBLES):
            try:
                return await self._start(options)
            except Stumbled as error:
                number, reason = self._number, str(error)
                event("start_failed", level=logging.ERROR, reason=reason, number=number)
        return await self._start(options)

    async def _start(self, options: ServeOptions) -> Running:
        self._number += 1
        running = await start(options, self._number, self._folder)
        self._alive.add(running)
        return running

    async def end(self, running: Running, *, after: float = 0.0) -> None:
        """End one that gets no more calls, ``after`` so many seconds if those it has last so long.

        It ends even if who waits here does not wait any longer.
        """
        task = asyncio.create_task(self._end(running, after))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def close(self) -> None:
        """End all, at once."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for running in list(self._alive):
            await self._end(running, 0.0)

    async def _end(self, running: Running, after: float) -> None:
        await self._unused(running, after)
        await running.kill()
        self._alive.discard(running)
        # The calls on it fail now. They are to say so in their own words, before the channel is
        # closed under them.
        await self._unused(running, _FAILING_SECONDS)
        await running.backend.channel.close()

    async def _unused(self, running: Running, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._backends.unused(running.backend)
