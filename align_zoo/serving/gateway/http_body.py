"""Reading bodies: not too much of one or of all together, and not for ever."""

from __future__ import annotations

import asyncio

from aiohttp import web

from align_zoo.serving.gateway.journal import shown_id
from align_zoo.serving.gateway.refusal import Reason, Refusal

__all__ = ["Bodies"]

_SECONDS = 120.0
_ENCODINGS = ("gzip", "deflate", "identity")


class Bodies:
    """Reads them. For one event loop.

    Args:
        max_bytes: of one.
        together: bytes of all that are being read; a single one always may.
    """

    def __init__(self, max_bytes: int, together: int) -> None:
        self._max_bytes = max_bytes
        self._together = together
        self.held = 0
        """Bytes of those that are being read."""

    async def read(self, request: web.Request) -> bytes:
        """All of it, unpacked if it is compressed.

        Raises:
            Refusal: it is too large, comes too slowly, is no sound body or compressed in a way
                that is not read here, or too much is being read.
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
            # Not request.read(), which lets all of a compressed body be unpacked at once.
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
