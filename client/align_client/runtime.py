"""The interface through which the client's steps use threads or an event loop."""

from __future__ import annotations

from typing import (
    Any,
    AsyncContextManager,
    Awaitable,
    Callable,
    List,
    Protocol,
    Sequence,
    TypeVar,
    Union,
)

from align_client.channels import Channels
from align_client.errors import AlignClientError

__all__ = ["Outcome", "Runtime"]

T = TypeVar("T")
R = TypeVar("R")

Outcome = Union[R, AlignClientError]
"""An answer, or the error in its place."""


class Runtime(Protocol):
    """The one part in which the two clients differ; their steps are shared coroutines.

    The methods of ``SyncRuntime`` never suspend, so a coroutine runs to its end in the thread of
    the caller. The methods of ``AsyncRuntime`` suspend.
    """

    channels: Channels
    """The connections to the servers."""
    count: int
    """How many requests are made at once."""

    def check_open(self) -> None:
        """Raise AlignClientError if the client is closed, or of another process or event loop."""

    async def call(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call a method of tritonclient and return its answer."""

    async def outcomes(
        self, request: Callable[[T], Awaitable[R]], items: Sequence[T], size: int = 1
    ) -> List[Outcome[R]]:
        """Make ``request(item)`` for each item; return answers and errors in the items' order.

        All calls of the client together make at most ``max_in_flight`` requests at once. If a
        request has up to ``size`` > 1 images, this call makes only as many at once as have together
        ``max_in_flight`` images, but two: else the queue of a slow server would fill with them.
        ``SyncRuntime`` does not count a single item: the calling thread makes its request.
        """

    async def work(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Call a function that computes for long, and return its result."""

    async def sleep(self, seconds: float) -> None:
        """Wait; end the wait when the client is closed."""

    def lock(self) -> AsyncContextManager[None]:
        """Make a new lock."""
