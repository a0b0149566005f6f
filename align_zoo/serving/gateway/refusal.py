"""The reasons why the gateway answers in tritonserver's place, with each protocol's code."""

from __future__ import annotations

import logging
import math
import traceback
from enum import Enum

import grpc

from align_zoo.serving.log import event

__all__ = ["Reason", "Refusal", "internal_error"]

_Code = grpc.StatusCode


class Reason(Enum):
    """A reason, with its label in metrics and logs, its gRPC code and its HTTP status."""

    QUEUE_FULL = "queue_full", _Code.RESOURCE_EXHAUSTED, 429
    QUEUE_SECONDS = "queue_seconds", _Code.RESOURCE_EXHAUSTED, 429
    NOT_READY = "not_ready", _Code.UNAVAILABLE, 503
    STOPPING = "stopping", _Code.UNAVAILABLE, 503
    UNAUTHORIZED = "unauthorized", _Code.UNAUTHENTICATED, 401
    CLOSED = "closed", _Code.PERMISSION_DENIED, 403
    UNKNOWN_CALL = "unknown_call", _Code.UNIMPLEMENTED, 404
    UNKNOWN_MODEL = "unknown_model", _Code.NOT_FOUND, 404
    EXPIRED = "expired", _Code.DEADLINE_EXCEEDED, 504
    MALFORMED = "malformed", _Code.INVALID_ARGUMENT, 400
    ENCODING = "encoding", _Code.UNIMPLEMENTED, 415
    POISONED = "poisoned", _Code.INVALID_ARGUMENT, 400
    TOO_LARGE = "too_large", _Code.RESOURCE_EXHAUSTED, 413
    TOO_SLOW = "too_slow", _Code.DEADLINE_EXCEEDED, 408
    DIED = "died", _Code.ABORTED, 503
    INTERNAL = "internal", _Code.INTERNAL, 500

    def __init__(self, label: str, code: grpc.StatusCode, http: int) -> None:
        self.label = label
        self.code = code
        self.http = http


class Refusal(Exception):
    """The gateway's own answer to a call that tritonserver does not answer.

    Args:
        reason: the reason.
        message: the message for the caller.
        param: the part of the request that is at fault, such as ``input[3]``.
        retry_seconds: the time after which another try may succeed, if the reason passes.
    """

    def __init__(
        self, reason: Reason, message: str, *, param: str | None = None, retry_seconds: float = 1.0
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.param = param
        self.retry_seconds = retry_seconds

    def headers(self) -> dict[str, str]:
        """Return the headers of HTTP that go with the status."""
        if self.reason is Reason.UNAUTHORIZED:
            return {"WWW-Authenticate": "Bearer"}
        if self.reason.http in (429, 503):
            return {"Retry-After": str(math.ceil(self.retry_seconds))}
        return {}


def internal_error(error: Exception, id: str) -> Refusal:
    """Turn an unexpected error into an answer, and log the error.

    The log gets the traceback without the error's message, which may quote the request.
    """
    name = type(error).__name__
    event(
        "internal_error",
        level=logging.ERROR,
        id=id,
        error=name,
        where=traceback.format_tb(error.__traceback__),
    )
    return Refusal(Reason.INTERNAL, f"internal error ({name})")
