"""The bodies of HTTP requests, read within limits of size, of memory and of time."""

from __future__ import annotations

import asyncio

from aiohttp import web

from align_zoo.serving.gateway.journal import shown_id
from align_zoo.serving.gateway.refusal import Reason, Refusal

__all__ = ["Bodies"]

_SECONDS = 120.0
_ENCODINGS = ("gzip", "deflate", "identity")


class Bodies:
    """Reads the bodies of requests. For one event loop.

    >>> bodies = Bodies(max_bytes=2**26, together=2**29)
    >>> body = await bodies.read(request)

    Args:
        max_bytes: the largest size of a body.
        together: the most bytes of all bodies being read; a single body may have more.
    """

    def __init__(self, max_bytes: int, together: int) -> None:
        self._max_bytes = max_bytes
        self._together = together
        self.held = 0
        """The bytes of the bodies being read."""

    async def read(self, request: web.Request) -> bytes:
        """Read a whole body, and decompress it if it is compressed.

        Raises:
            Refusal: the body is too large, arrives too slowly, is damaged or has an unknown
                encoding; or the bodies being read have too many bytes together.
        """
        encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in _ENCODINGS:
            raise Refusal(
                Reason.ENCODING,
                f"Content-Encoding {shown_id(encoding)!r} is not read here: "
                f"accepted are {', '.join(_ENCODINGS)}",
            )
        if (request.content_length or 0) > self._max_bytes:
            raise self._too_large()
        try:
            async with asyncio.timeout(_SECONDS):
                return await self._read(request)
        except TimeoutError:
            raise Refusal(Reason.TOO_SLOW, f"the body did not come within {_SECONDS:g} s") from None
        except web.RequestPayloadError:
            raise Refusal(Reason.MALFORMED, "the body cannot be read") from None

    async def _read(self, request: web.Request) -> bytes:
        body = bytearray()
        try:
            # Not request.read(), which decompresses a whole body at once.
            async for chunk in request.content.iter_any():
                self.held += len(chunk)
                body += chunk
                self._check(len(body))
            return bytes(body)
        finally:
            self.held -= len(body)

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise self._too_large()
        others = self.held - size
        if others and self.held > self._together:
            raise Refusal(
                Reason.QUEUE_FULL,
                f"overloaded: requests of {others / 1e6:.0f} MB are on their way already",
            )

    def _too_large(self) -> Refusal:
        return Refusal(Reason.TOO_LARGE, f"the body has more than {self._max_bytes} bytes")
