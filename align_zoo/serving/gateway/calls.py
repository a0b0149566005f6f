"""Which of tritonserver's calls are open: reading and inference.

Whoever may load models runs code on the server, shared memory reads and writes its memory, and
trace and log settings write files. So a call is closed unless it stands here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["GRPC_INFER", "GRPC_OPEN", "GRPC_SERVICE", "HttpCall", "find_http_call"]

GRPC_SERVICE = "/inference.GRPCInferenceService/"
GRPC_INFER = f"{GRPC_SERVICE}ModelInfer"
GRPC_OPEN = frozenset(
    GRPC_SERVICE + name
    for name in ("ServerMetadata", "ModelMetadata", "ModelConfig", "ModelStatistics", "ModelInfer")
)
"""Without the three of health, which the gateway answers."""


class HttpCall(NamedTuple):
    """An open call of KServe's HTTP protocol."""

    kind: str
    """"live", "ready", "model_ready", "read" or "infer"."""
    method: str
    model: str
    """Empty if it is about none."""


_MODEL = r"/v2/models/(?P<model>[A-Za-z0-9_-][A-Za-z0-9_.-]*)(/versions/[0-9]+)?"
_HTTP_OPEN = [
    ("live", "GET", re.compile(r"/v2/health/live")),
    ("ready", "GET", re.compile(r"/v2/health/ready")),
    ("model_ready", "GET", re.compile(f"{_MODEL}/ready")),
    ("read", "GET", re.compile(f"/v2|{_MODEL}(/config|/stats)?")),
    ("infer", "POST", re.compile(f"{_MODEL}/infer")),
]


def find_http_call(path: str) -> HttpCall | None:
    """The open call at a path, as it was sent, without unquoting; None if there is none."""
    for kind, method, pattern in _HTTP_OPEN:
        if match := pattern.fullmatch(path):
            return HttpCall(kind, method, match.groupdict().get("model") or "")
    return None
