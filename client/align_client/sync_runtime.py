"""The runtime of the client for threads: each thread waits for its answer."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
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
    Type,
    TypeVar,
)

from align_client.channels import Channels
from align_client.errors import AlignClientError, kept
from align_client.one_process import OneProcess
from align_client.runtime import Outcome

__all__ = ["SyncRuntime"]

T = TypeVar("T")
R = TypeVar("R")


class SyncRuntime:
    """A ``Runtime`` whose coroutines never suspend. Threads may share a runtime.

    Args:
        name: the names of the servers, for messages.
        channels: connections to the servers that block until the answer comes.
        count: how many requests are made at once.
    """

    def __init__(self, name: str, channels: Channels, count: int) -> None:
        self.channels = channels
        self.count = count
        self._process = OneProcess(name)
        self._closing = threading.Event()
        # How many requests of one call wait in the pool. With more, a small call of another thread
        # would wait for a large call; with fewer, workers would be idle.
        self._window = 2 * count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="align-client")

    def run(self, method: Callable[..., Coroutine[Any, Any, T]], *args: Any, **options: Any) -> T:
        """Run the coroutine ``method(*args, **options)`` and return its result."""
        self.check_open()
        return _finished(method(*args, **options))

    def check_open(self) -> None:
        """Raise AlignClientError after :meth:`close` and in another process."""
        self._process.check()

    async def call(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call a method of tritonclient and return its answer."""
        try:
            return method(*args, **options)
        except ValueError as error:  # raised by grpc for a channel that was closed meanwhile
            self.check_open()
            raise AlignClientError(f"the request cannot be made: {error}") from error

    async def outcomes(
        self, request: Callable[[T], Awaitable[R]], items: Sequence[T], size: int = 1
    ) -> List[Outcome[R]]:
        """Make ``request(item)`` for each item; return answers and errors in the items' order.

        The calling thread makes the request of a single item, as it waits for the answer anyway.
        """

        def outcome(item: T) -> Outcome[R]:
            try:
                return _finished(request(item))
            except AlignClientError as error:
                return kept(error)

        if len(items) == 1:
            return [outcome(items[0])]
        most = max(2, self.count // size) if size > 1 else self._window
        done: List[Outcome[R]] = []
        waiting: Deque[Future[Outcome[R]]] = deque()
        try:
            for item in items:
                if len(waiting) == most:
                    done.append(waiting.popleft().result())
                waiting.append(self._pool.submit(outcome, item))
            while waiting:
                done.append(waiting.popleft().result())
        except (
            CancelledError,
            RuntimeError,
        ) as error:  # raised by a pool that was closed meanwhile
            self.check_open()
            raise AlignClientError(f"the requests cannot be made: {error}") from error
        finally:
            for future in waiting:
                future.cancel()
        return done

    async def work(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Call the function and return its result."""
        return function(*args, **options)

    async def sleep(self, seconds: float) -> None:
        """Wait; end the wait when the client is closed."""
        self._closing.wait(seconds)

    def lock(self) -> AsyncContextManager[None]:
        """Make a new lock for threads."""
        return _Lock()

    def close(self) -> None:
        """End the running requests and refuse new ones."""
        if not self._process.here:
            return  # after a fork the connections belong to the parent process
        self._process.closed = True
        self._closing.set()
        for triton in self.channels.all():
            triton.close()
        self._pool.shutdown(wait=True, cancel_futures=True)


class _Lock:
    def __init__(self) -> None:
        self._lock = threading.Lock()

    async def __aenter__(self) -> None:
        self._lock.acquire()

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._lock.release()


def _finished(steps: Awaitable[T]) -> T:
    waiting = steps.__await__()
    try:
        next(waiting)
    except StopIteration as stop:
        value: T = stop.value
        return value
    raise AssertionError("a step of the client for threads was suspended")
