"""What the client's steps need of threads, or of an event loop."""

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
"""An answer, or in its place the error."""


class Runtime(Protocol):
    """The steps are written once, as coroutines; this is where the two clients differ.

    ``SyncRuntime``'s methods never suspend, so that a coroutine runs to its end in the caller's
    thread; those of ``AsyncRuntime`` do.
    """

    channels: Channels

    def check_open(self) -> None:
        """Raise AlignClientError if the client is closed, or does not belong here."""

    async def call(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """What a method of tritonclient answers."""

    async def outcomes(
        self, request: Callable[[T], Awaitable[R]], items: Sequence[T]
    ) -> List[Outcome[R]]:
        """``request(item)`` for each item, in order; in place of what failed, its error.

        No more at once than ``max_in_flight``, by all calls of the client together; ``SyncRuntime``
        does not count a single item, which the calling thread makes.
        """

    async def work(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """What a function returns that computes for long."""

    async def sleep(self, seconds: float) -> None:
        """Wait, but not longer than the client is open."""

    def lock(self) -> AsyncContextManager[None]:
        """A new lock."""
