"""Vectors of a server as lists, for libraries with calls of both kinds, plain and asyncio."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from align_client import AlignClient, AsyncAlignClient, ImageLike

__all__ = ["Clients"]


class Clients:
    """Clients of one service, made on first use: one for threads, one for each event loop.

    >>> Clients("localhost:8001").texts(["a red star"])

    Args:
        url: as :class:`align_client.AlignClient` takes it.
        options: further arguments of the clients: ``token``, ``tls``, ``timeout``.
    """

    def __init__(self, url: str | Sequence[str], **options: Any) -> None:
        self._make = partial(Clients, url, **options)
        self._threads = AlignClient(url, **options)
        self._loops: dict[asyncio.AbstractEventLoop, AsyncAlignClient] = {}
        self._for_loop = partial(AsyncAlignClient, url, **options)
        weakref.finalize(self, self._threads.close)

    def __reduce__(self) -> tuple[Callable[[], Clients], tuple[()]]:
        """Make new clients in another process, because connections cannot be sent there."""
        return self._make, ()

    def texts(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed N texts: N unit vectors."""
        return self._threads.embed_text(list(texts)).tolist() if texts else []

    def images(self, images: Sequence[ImageLike]) -> list[list[float]]:
        """Embed N images: N unit vectors."""
        return self._threads.embed_image(list(images)).tolist() if images else []

    async def atexts(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed N texts: N unit vectors."""
        return (await self._here().embed_text(list(texts))).tolist() if texts else []

    async def aimages(self, images: Sequence[ImageLike]) -> list[list[float]]:
        """Embed N images: N unit vectors."""
        return (await self._here().embed_image(list(images))).tolist() if images else []

    def _here(self) -> AsyncAlignClient:
        """Return the client of this event loop, and forget those of closed loops."""
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            self._loops = {each: kept for each, kept in self._loops.items() if not each.is_closed()}
            self._loops[loop] = self._for_loop()
        return self._loops[loop]
