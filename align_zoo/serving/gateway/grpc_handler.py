"""KServe's protocol over gRPC: forwarded calls, and calls that the gateway answers itself."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

from align_zoo.serving.gateway.allowed import EXTENSIONS, MODELS, judge
from align_zoo.serving.gateway.calls import (
    GRPC_INFER,
    GRPC_METADATA,
    GRPC_OPEN,
    GRPC_SERVICE,
    GRPC_STREAM,
    not_open,
)
from align_zoo.serving.gateway.grpc_health import health_handlers
from align_zoo.serving.gateway.grpc_request import read, without_id
from align_zoo.serving.gateway.grpc_stream import stream
from align_zoo.serving.gateway.journal import Entry, fresh_id, shown_id
from align_zoo.serving.gateway.parts import Parts
from align_zoo.serving.gateway.refusal import Reason, Refusal, internal_error
from align_zoo.serving.gateway.suspects import Content

__all__ = ["GrpcHandler"]

_ID = "align-request-id"
_AT_HAND = 0.1
"""A caller that leaves within so many seconds of its deadline has left because of the deadline: its
clock started before ours, by the time that the call was on its way.
"""


class GrpcHandler(grpc.GenericRpcHandler):
    """Handles all gRPC calls.

    >>> server = grpc.aio.server(handlers=[GrpcHandler(parts)])

    Args:
        parts: the gateway's parts that both protocols use.
    """

    def __init__(self, parts: Parts) -> None:
        self._admission, self._upstream, self._supervision = parts[:3]
        self._tokens, self._health, self._journal = parts[3:]
        handler = grpc.unary_unary_rpc_method_handler
        self._free = {
            **health_handlers(self._is_ready, MODELS),
            f"{GRPC_SERVICE}ServerLive": handler(_live),
            f"{GRPC_SERVICE}ServerReady": handler(self._ready),
            f"{GRPC_SERVICE}ModelReady": handler(self._model_ready),
        }
        self._open = {path: handler(partial(self._forward, path)) for path in GRPC_OPEN}
        self._open[GRPC_METADATA] = handler(self._metadata)
        self._open[GRPC_INFER] = handler(self._infer)
        self._open[GRPC_STREAM] = grpc.stream_stream_rpc_method_handler(
            partial(stream, self._infer)
        )

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of a call; None if there is no such service."""
        path, metadata = handler_call_details.method, handler_call_details.invocation_metadata
        if path in self._free:
            return self._free[path]
        if not path.startswith(GRPC_SERVICE):
            return None
        try:
            if path not in self._open:
                raise not_open(path)
            self._tokens.check(dict(metadata).get("authorization"))
            self._admission.check()
        except Refusal as caught:
            refusal = caught
        except Exception as error:
            refusal = internal_error(error, "")
        else:
            return self._open[path]
        # A stream handler reads nothing of a refused call. Callers see no difference.
        return grpc.stream_stream_rpc_method_handler(partial(self._refuse, refusal))

    async def _infer(self, request: bytes, context: Any) -> bytes:
        entry = Entry(_id_of(context))
        entry.it_waits()
        try:
            asked = read(request)
            entry.id = shown_id(asked.id) or entry.id or fresh_id()
            entry.model = asked.model if self._admission.knows(asked.model) else ""
            entry.items = judge(asked)
            content = Content(entry.model, entry.id, partial(without_id, request))
            size = len(request)
            async with self._admission.call(entry.model, entry.items, size, content) as backend:
                entry.its_turn()
                sent = request if asked.id else _with_id(request, entry.id)
                answer = await self._upstream.call_grpc(
                    backend, GRPC_INFER, sent, context.time_remaining()
                )
                self._supervision.on_answer(backend, entry.model)
        except Refusal as refusal:
            self._journal.refused(entry, refusal.reason)
            return _end(context, refusal.reason.code, refusal.message, entry.id)
        except grpc.aio.AioRpcError as error:
            self._journal.failed(entry, error.code().name, error.details() or "")
            return _end(context, error.code(), error.details(), entry.id)
        except asyncio.CancelledError:
            left = context.time_remaining()
            if entry.turn is None and left is not None and left < _AT_HAND:
                self._journal.refused(entry, Reason.EXPIRED)
            else:
                self._journal.left(entry)
            raise
        except Exception as error:
            mishap = internal_error(error, entry.id)
            self._journal.refused(entry, mishap.reason)
            return _end(context, mishap.reason.code, mishap.message, entry.id)
        self._journal.answered(entry)
        return answer

    async def _forward(self, path: str, request: bytes, context: Any) -> bytes:
        try:
            async with self._admission.call() as backend:
                return await self._upstream.call_grpc(
                    backend, path, request, context.time_remaining()
                )
        except Refusal as refusal:
            self._journal.refused(Entry(), refusal.reason)
            return _end(context, refusal.reason.code, refusal.message)
        except grpc.aio.AioRpcError as error:
            return _end(context, error.code(), error.details())
        except Exception as error:
            mishap = internal_error(error, "")
            self._journal.refused(Entry(), mishap.reason)
            return _end(context, mishap.reason.code, mishap.message)

    async def _metadata(self, request: bytes, context: Any) -> bytes:
        answer = await self._forward(GRPC_METADATA, request, context)
        metadata = service_pb2.ServerMetadataResponse.FromString(answer)
        metadata.extensions[:] = [name for name in metadata.extensions if name in EXTENSIONS]
        return metadata.SerializeToString()

    async def _refuse(self, refusal: Refusal, _: Any, context: Any) -> None:
        entry = Entry(_id_of(context))
        self._journal.refused(entry, refusal.reason)
        _end(context, refusal.reason.code, refusal.message, entry.id)

    async def _ready(self, _: bytes, context: Any) -> bytes:
        return service_pb2.ServerReadyResponse(ready=self._is_ready()).SerializeToString()

    async def _model_ready(self, request: bytes, context: Any) -> bytes:
        if not self._is_ready():
            return service_pb2.ModelReadyResponse(ready=False).SerializeToString()
        return await self._forward(f"{GRPC_SERVICE}ModelReady", request, context)

    def _is_ready(self) -> bool:
        try:
            return self._health.ready()
        except Exception as error:  # gRPC would answer with the error's message
            internal_error(error, "")
            return False


def _with_id(request: bytes, id: str) -> bytes:
    # Protobuf allows fields in any order. Field 3 (bytes) and its length are appended, so that an
    # image's message need not be serialized again.
    return request + bytes([3 << 3 | 2, len(id)]) + id.encode()


def _id_of(context: Any) -> str:
    """Return the request's id from its header, which is known before the message arrives."""
    header = dict(context.invocation_metadata() or ()).get(_ID)
    return shown_id(header) if isinstance(header, str) else ""


def _end(context: Any, code: grpc.StatusCode, details: str | None, id: str = "") -> bytes:
    context.set_code(code)
    context.set_details(details or "")
    if id:
        context.set_trailing_metadata(((_ID, id),))
    return b""  # gRPC sends no message beside an error


async def _live(_: bytes, context: Any) -> bytes:
    return service_pb2.ServerLiveResponse(live=True).SerializeToString()
