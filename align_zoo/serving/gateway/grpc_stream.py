"""ModelStreamInfer: the requests of a stream, each answered as ModelInfer answers it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

__all__ = ["stream"]

_AT_ONCE = 64
"""The most requests of a stream that are read before the first of them is answered."""
_FINAL = "triton_final_response"
"""The parameter of each response: a request has no further response."""


class _Call:
    """The context of a single call, for one request of a stream."""

    def __init__(self, context: Any) -> None:
        self.time_remaining = context.time_remaining
        self.code = grpc.StatusCode.OK
        self.details = ""
        self.id = ""

    def invocation_metadata(self) -> tuple[()]:
        """Return no metadata: an id in a header would be the id of all requests of the stream."""
        return ()

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code

    def set_details(self, details: str) -> None:
        self.details = details

    def set_trailing_metadata(self, metadata: tuple[tuple[str, str], ...]) -> None:
        self.id = dict(metadata).get("align-request-id", "")


async def stream(
    infer: Callable[[bytes, Any], Awaitable[bytes]], requests: AsyncIterator[bytes], context: Any
) -> AsyncIterator[bytes]:
    """Answer each request of a stream by one response, in order.

    Args:
        infer: answers a serialized ModelInferRequest.
        requests: serialized requests; at most 64 of them are under way.
        context: the stream's context.

    Yields:
        Serialized ModelStreamInferResponses. The response of a failed request has an error; the
        stream continues.
    """
    under_way: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue()
    room = asyncio.Semaphore(_AT_ONCE)

    async def read() -> None:
        try:
            async for request in requests:
                await room.acquire()
                under_way.put_nowait(asyncio.create_task(_answer(infer, request, context)))
        finally:
            under_way.put_nowait(None)

    reading = asyncio.create_task(read())
    try:
        while task := await under_way.get():
            try:
                yield await task
            finally:
                task.cancel()
                room.release()
        await reading
    finally:
        reading.cancel()
        while not under_way.empty():
            if left := under_way.get_nowait():
                left.cancel()


async def _answer(
    infer: Callable[[bytes, Any], Awaitable[bytes]], request: bytes, context: Any
) -> bytes:
    call = _Call(context)
    answer = await infer(request, call)
    response = service_pb2.ModelStreamInferResponse()
    if call.code is grpc.StatusCode.OK:
        response.infer_response.ParseFromString(answer)
    else:
        response.error_message = call.details
        response.infer_response.id = call.id
        with suppress(DecodeError):
            asked = service_pb2.ModelInferRequest.FromString(request)
            response.infer_response.model_name = asked.model_name
    response.infer_response.parameters[_FINAL].bool_param = True
    return response.SerializeToString()
