"""The client's steps in threads: each waits for its answer."""

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
    """A ``Runtime`` whose coroutines never suspend. Safe to share between threads.

    Args:
        name: the servers, for messages.
        channels: to them, blocking ones.
        count: how many requests are made at once.
    """

    def __init__(self, name: str, channels: Channels, count: int) -> None:
        self.channels = channels
        self._process = OneProcess(name)
        self._closing = threading.Event()
        # Waiting requests of one call. More would make a small call of another thread wait for
        # a large one; fewer would leave workers idle.
        self._window = 2 * count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="align-client")

    def run(self, method: Callable[..., Coroutine[Any, Any, T]], *args: Any, **options: Any) -> T:
        """What the coroutine ``method(*args, **options)`` returns."""
        self.check_open()
        return _finished(method(*args, **options))

    def check_open(self) -> None:
        """Raise AlignClientError after :meth:`close`, and in another process."""
        self._process.check()

    async def call(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """What a method of tritonclient answers."""
        try:
            return method(*args, **options)
        except ValueError as error:  # grpc's word for a channel closed meanwhile
            self.check_open()
            raise AlignClientError(f"the request cannot be made: {error}") from error

    async def outcomes(
        self, request: Callable[[T], Awaitable[R]], items: Sequence[T]
    ) -> List[Outcome[R]]:
        """``request(item)`` for each item, in order; in place of what failed, its error.

        A single one is made in the calling thread, which waits for it anyway.
        """

        def outcome(item: T) -> Outcome[R]:
            try:
                return _finished(request(item))
            except AlignClientError as error:
                return kept(error)

        if len(items) == 1:
            return [outcome(items[0])]
        done: List[Outcome[R]] = []
        waiting: Deque[Future[Outcome[R]]] = deque()
        try:
            for item in items:
                if len(waiting) == self._window:
                    done.append(waiting.popleft().result())
                waiting.append(self._pool.submit(outcome, item))
            while waiting:
                done.append(waiting.popleft().result())
        except (CancelledError, RuntimeError) as error:  # the pool's word for closed meanwhile
            self.check_open()
            raise AlignClientError(f"the requests cannot be made: {error}") from error
        finally:
            for future in waiting:
                future.cancel()
        return done

    async def work(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """What the function returns."""
        return function(*args, **options)

    async def sleep(self, seconds: float) -> None:
        """Wait, but not longer than the client is open."""
        self._closing.wait(seconds)

    def lock(self) -> AsyncContextManager[None]:
        """A new lock between threads."""
        return _Lock()

    def close(self) -> None:
        """End the requests being made; start no other."""
        if not self._process.here:
            return  # the other process's connections are not ours to close
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
    raise AssertionError("a step of the blocking client was suspended")
