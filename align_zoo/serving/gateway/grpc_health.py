"""gRPC's own health protocol, which load balancers and Kubernetes speak.

The messages are written by hand: the package grpcio-health-checking requires another protobuf than
tritonclient. A HealthCheckRequest is one string, a HealthCheckResponse one small number.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import grpc

__all__ = ["health_handlers"]

_SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"
_SERVICE = "inference.GRPCInferenceService"
_WATCH_SECONDS = 1.0


def health_handlers(ready: Callable[[], bool], models: Iterable[str]) -> dict[str, Any]:
    """Make the handlers of Check and Watch, by path.

    Args:
        ready: returns whether the service can answer now.
        models: names of models that a caller may ask for, too; all are ready or none is.
    """
    # The number of field 1, the length of its bytes, and the bytes.
    named = {b"\x0a" + bytes([len(name)]) + name.encode() for name in ("", _SERVICE, *models)}
    known = {b"", *named}

    def status(request: bytes) -> bytes:
        if request not in known:
            return _SERVICE_UNKNOWN
        return _SERVING if ready() else _NOT_SERVING

    async def check(request: bytes, context: Any) -> bytes:
        if request not in known:
            context.set_code(grpc.StatusCode.NOT_FOUND)
            context.set_details("there is no such service here")
        return status(request)

    async def watch(request: bytes, context: Any) -> AsyncIterator[bytes]:
        sent = b""
        while True:
            now = status(request)
            if now != sent:
                yield now
                sent = now
            await asyncio.sleep(_WATCH_SECONDS)

    return {
        "/grpc.health.v1.Health/Check": grpc.unary_unary_rpc_method_handler(check),
        "/grpc.health.v1.Health/Watch": grpc.unary_stream_rpc_method_handler(watch),
    }
