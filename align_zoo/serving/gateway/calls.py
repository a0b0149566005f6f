"""The table of tritonserver's calls that are open: reading and inference.

A caller that loads models runs code on the server; shared memory gives access to the server's
memory; trace and log settings write files. So a call is closed unless this table has it, and a
call that tritonserver does not have is unknown.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tritonclient.grpc import service_pb2

from align_zoo.serving.gateway.journal import shown_id
from align_zoo.serving.gateway.refusal import Reason, Refusal

__all__ = [
    "GRPC_INFER",
    "GRPC_METADATA",
    "GRPC_OPEN",
    "GRPC_SERVICE",
    "GRPC_STREAM",
    "HttpCall",
    "find_http_call",
    "not_open",
]

GRPC_SERVICE = "/inference.GRPCInferenceService/"
GRPC_INFER = f"{GRPC_SERVICE}ModelInfer"
GRPC_STREAM = f"{GRPC_SERVICE}ModelStreamInfer"
GRPC_METADATA = f"{GRPC_SERVICE}ServerMetadata"
GRPC_OPEN = frozenset(
    GRPC_SERVICE + name for name in ("ModelMetadata", "ModelConfig", "ModelStatistics")
)
"""The calls whose answers are passed on unchanged."""
_GRPC = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name


class HttpCall(NamedTuple):
    """An open call of KServe's HTTP protocol."""

    kind: str
    """"live", "ready", "model_ready", "server", "read" or "infer"."""
    method: str
    model: str
    """The model's name; empty for calls about the server."""


_MODEL = r"/v2/models/(?P<model>[A-Za-z0-9_-][A-Za-z0-9_.-]*)(/versions/[0-9]+)?"
_HTTP_OPEN = [
    ("live", "GET", re.compile(r"/v2/health/live")),
    ("ready", "GET", re.compile(r"/v2/health/ready")),
    ("model_ready", "GET", re.compile(f"{_MODEL}/ready")),
    ("server", "GET", re.compile("/v2")),
    ("read", "GET", re.compile(f"{_MODEL}(/config|/stats)?")),
    ("infer", "POST", re.compile(f"{_MODEL}/infer")),
]
_HTTP_CLOSED = re.compile(
    "/v2/(repository/.*|(system|cuda)sharedmemory(/.*)?|trace/setting|logging)"
    f"|{_MODEL}/(trace/setting|generate|generate_stream)"
)


def find_http_call(path: str) -> HttpCall:
    """Find the open call at a path; the path is compared as sent, without unquoting.

    Raises:
        Refusal: CLOSED or UNKNOWN_CALL: the path has no open call.
    """
    for kind, method, pattern in _HTTP_OPEN:
        if match := pattern.fullmatch(path):
            return HttpCall(kind, method, match.groupdict().get("model") or "")
    if _HTTP_CLOSED.fullmatch(path):
        raise _closed("this")
    raise Refusal(Reason.UNKNOWN_CALL, "there is nothing here")


def not_open(path: str) -> Refusal:
    """Return the refusal of a gRPC call that is not open."""
    name = path.removeprefix(GRPC_SERVICE)
    if name in _GRPC:
        return _closed(name)
    return Refusal(Reason.UNKNOWN_CALL, f"unknown: there is no call {shown_id(name)!r} here")


def _closed(name: str) -> Refusal:
    return Refusal(Reason.CLOSED, f"closed: {name} is not open to callers")
