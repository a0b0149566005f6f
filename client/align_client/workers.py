"""Several requests at once, each with an outcome of its own."""

from __future__ import annotations

from collections import deque
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Callable, Deque, List, Sequence, TypeVar, Union

from align_client.errors import AlignClientError

__all__ = ["Workers"]

T = TypeVar("T")
R = TypeVar("R")


class Workers:
    """Threads that make requests, shared by all calls of a client.

    Args:
        count: how many requests are made at once.
    """

    def __init__(self, count: int) -> None:
        # Waiting requests of one call. More would make a small call of another thread wait for
        # a large one; fewer would leave workers idle.
        self._window = 2 * count
        self._closed = False
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="align-client")

    def outcomes(
        self, request: Callable[[T], R], items: Sequence[T]
    ) -> List[Union[R, AlignClientError]]:
        """``request(item)`` for each item, in order; in place of what failed, its error."""

        def outcome(item: T) -> Union[R, AlignClientError]:
            try:
                return request(item)
            except AlignClientError as error:
                return error

        if len(items) == 1:
            return [outcome(items[0])]
        done: List[Union[R, AlignClientError]] = []
        waiting: Deque[Future[Union[R, AlignClientError]]] = deque()
        try:
            for item in items:
                if len(waiting) == self._window:
                    done.append(waiting.popleft().result())
                waiting.append(self._pool.submit(outcome, item))
            while waiting:
                done.append(waiting.popleft().result())
        except (CancelledError, RuntimeError) as error:
            if self._closed:
                raise AlignClientError("this client was closed") from error
            raise
        finally:
            for future in waiting:
                future.cancel()
        return done

    def close(self) -> None:
        """Wait for the requests being made; start no other."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
