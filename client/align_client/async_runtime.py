"""The runtime of the client for asyncio: thousands of calls may wait at once."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import (
    Any,
    AsyncContextManager,
    Awaitable,
    Callable,
    Coroutine,
    Deque,
    List,
    Optional,
    Sequence,
    Set,
    Type,
    TypeVar,
)

from align_client.channels import Channels
from align_client.cores import usable_cores
from align_client.errors import AlignClientError, kept
from align_client.one_process import OneProcess
from align_client.runtime import Outcome

__all__ = ["AsyncRuntime"]

T = TypeVar("T")
R = TypeVar("R")


class AsyncRuntime:
    """A ``Runtime`` for the event loop of its first call. The loop's tasks may share a runtime.

    Args:
        name: the names of the servers, for messages.
        channels: connections to the servers, of ``tritonclient.grpc.aio``.
        count: how many requests are made at once.
    """

    def __init__(self, name: str, channels: Channels, count: int) -> None:
        self.channels = channels
        self._name = name
        self._process = OneProcess(name)
        self.count = count
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._slots: Optional[asyncio.Semaphore] = None
        self._running: Set[asyncio.Future[Any]] = set()
        # Work on pixels keeps a core busy; more threads than cores would only take memory.
        self._pool = ThreadPoolExecutor(usable_cores(), thread_name_prefix="align-client")

    async def run(
        self, method: Callable[..., Coroutine[Any, Any, T]], *args: Any, **options: Any
    ) -> T:
        """Run the coroutine ``method(*args, **options)`` and return its result."""
        self.check_open()
        # A separate task, so that close() can cancel it without cancelling the caller's task.
        task = asyncio.ensure_future(method(*args, **options))
        self._running.add(task)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            _ = task.cancelled() or task.exception()  # mark the exception as retrieved
            raise
        finally:
            self._running.discard(task)
        if task.cancelled():
            self.check_open()
        try:
            return task.result()
        finally:
            del task  # the traceback of its error holds this frame

    def check_open(self) -> None:
        """Raise AlignClientError after :meth:`close`, in another process or another event loop."""
        self._process.check()
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop, self._slots = loop, asyncio.Semaphore(self.count)
        if self._loop is not loop:
            raise AlignClientError(
                f"this client of {self._name} belongs to the event loop of its first call: make "
                "one in each event loop"
            )

    async def call(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call a method of tritonclient and return its answer."""
        return await method(*args, **options)

    async def outcomes(
        self, request: Callable[[T], Awaitable[R]], items: Sequence[T], size: int = 1
    ) -> List[Outcome[R]]:
        """Make ``request(item)`` for each item; return answers and errors in the items' order."""
        slots = self._slots
        assert slots is not None  # run() comes first

        async def outcome(item: T) -> Outcome[R]:
            async with slots:
                try:
                    return await request(item)
                except AlignClientError as error:
                    return kept(error)

        if len(items) == 1:
            return [await outcome(items[0])]
        most = max(2, self.count // size) if size > 1 else 2 * self.count
        done: List[Outcome[R]] = []
        waiting: Deque[asyncio.Future[Outcome[R]]] = deque()
        try:
            for item in items:
                # As in SyncRuntime, small calls are made between the parts of a large call.
                if len(waiting) == most:
                    done.append(await waiting[0])
                    waiting.popleft()
                waiting.append(asyncio.ensure_future(outcome(item)))
            while waiting:
                done.append(await waiting[0])
                waiting.popleft()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return done

    async def work(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Call the function in a thread and return its result."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, partial(function, *args, **options))
        except RuntimeError as error:  # raised by a pool that was closed meanwhile
            self.check_open()
            raise AlignClientError(f"the request cannot be made: {error}") from error

    async def sleep(self, seconds: float) -> None:
        """Wait; end the wait when the client is closed."""
        await asyncio.sleep(seconds)

    def lock(self) -> AsyncContextManager[None]:
        """Make a new lock for tasks."""
        return _Lock()

    async def close(self) -> None:
        """End the running requests and refuse new ones."""
        if self._process.closed or not self._process.here:
            return
        ended = self._loop is None or self._loop.is_closed()
        if not ended:
            self.check_open()
        self._process.closed = True
        for task in self._running:
            task.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)
        for triton in [] if ended else self.channels.all():
            await triton.close()


class _Lock:
    """A lock made on first use: before Python 3.10 a lock belongs to the loop that makes it."""

    def __init__(self) -> None:
        self._lock: Optional[asyncio.Lock] = None

    async def __aenter__(self) -> None:
        self._lock = self._lock or asyncio.Lock()
        await self._lock.acquire()

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        assert self._lock is not None
        self._lock.release()
