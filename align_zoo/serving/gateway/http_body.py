"""Reading a body: not too much of it, not for ever, and nothing that ends tritonserver."""

from __future__ import annotations

import asyncio

from aiohttp import web

from align_zoo.serving.gateway.refusal import Reason, Refusal

__all__ = ["read_body"]

_SECONDS = 120.0
_MOST_BRACKETS = 10_000


async def read_body(request: web.Request, max_bytes: int) -> bytes:
    """All of it, unpacked if it is compressed.

    Raises:
        Refusal: it is too large, comes too slowly, is no sound body, or its JSON is too deep.
    """
    too_large = Refusal(Reason.TOO_LARGE, f"the body has more than {max_bytes} bytes")
    if (request.content_length or 0) > max_bytes:
        raise too_large
    try:
        async with asyncio.timeout(_SECONDS):
            body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise too_large from None
    except TimeoutError:
        raise Refusal(Reason.TOO_SLOW, f"the body did not come within {_SECONDS:g} s") from None
    except web.RequestPayloadError:
        raise Refusal(Reason.MALFORMED, "the body cannot be read") from None
    json = body[: _json_bytes(request.headers.get("Inference-Header-Content-Length"), len(body))]
    # tritonserver reads JSON recursively: 2.51 dies of some 10^6 open brackets, a stack overflow.
    if json.count(b"[") + json.count(b"{") > _MOST_BRACKETS:
        raise Refusal(Reason.MALFORMED, f"the JSON has more than {_MOST_BRACKETS} brackets")
    return body


def _json_bytes(header: str | None, total: int) -> int:
    # Binary tensors follow; a picture may have any number of brackets.
    if header is not None and header.isdecimal() and int(header[:20]) <= total:
        return int(header)
    return total
