"""All tritonservers of one service: numbered by their starts, and ended with the service."""

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
"""The most starts that may fail by a fault of tritonserver itself."""

_FAILING_SECONDS = 5.0
"""The time for the calls on a killed server to fail."""


class Servers:
    """Starts and ends tritonservers. For one event loop.

    >>> servers = Servers(backends, folder)
    >>> running = await servers.start(options)
    >>> await servers.end(running, after=60.0)

    Args:
        backends: knows the calls on each server.
        folder: the place of the servers' sockets and of their names in /dev/shm.
    """

    def __init__(self, backends: Backends, folder: RunFolder) -> None:
        self._backends = backends
        self._folder = folder
        self._number = 0
        self._alive: set[Running] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, options: ServeOptions) -> Running:
        """Start a server, and return it when it answers.

        Raises:
            AlignZooError: the server cannot start, or does not answer as it should.
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
        """End a server without new calls, once its calls have ended or after ``after`` seconds.

        The server ends even if the caller of this method is cancelled.
        """
        task = asyncio.create_task(self._end(running, after))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def close(self) -> None:
        """End all servers at once."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for running in list(self._alive):
            await self._end(running, 0.0)

    async def _end(self, running: Running, after: float) -> None:
        await self._unused(running, after)
        await running.kill()
        self._alive.discard(running)
        # The calls on the server fail now. Let them report their own errors, before the channel
        # is closed.
        await self._unused(running, _FAILING_SECONDS)
        await running.backend.channel.close()

    async def _unused(self, running: Running, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._backends.unused(running.backend)
