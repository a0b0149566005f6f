"""Turns errors of Triton, of align-zoo's gateway and of gRPC into exceptions of the client."""

from __future__ import annotations

import enum
import re
from typing import NamedTuple, Optional, Type

from tritonclient.utils import InferenceServerException

from align_client import triton_messages as messages
from align_client.errors import (
    AlignClientError,
    DeadlineExceeded,
    InvalidInput,
    ModelUnavailable,
    Overloaded,
    ServerUnavailable,
    Unauthorized,
)
from align_client.triton_messages import pattern_of

__all__ = ["Again", "BadItem", "Failure", "bad_item", "breaks_contract", "failure_of"]


class Again(enum.Enum):
    """Whether a failed request may be sent again."""

    NEVER = "the request would fail again, or its deadline has passed"
    ALWAYS = "the server has not begun to work on the request"
    ONCE = "the server died while it worked on the request, perhaps because of the request"
    ELSEWHERE = "no usable server is at this address; another address may have one"
    UNREACHED = "no server is there: ALWAYS if a server has answered before, else ELSEWHERE"


class Failure(NamedTuple):
    """The error of one try, and whether another try is allowed."""

    error: AlignClientError
    """The exception for the caller."""
    again: Again
    """Whether the request may be sent again."""


class _Rule(NamedTuple):
    code: str
    """The gRPC status code; "" stands for any code."""
    text: str
    """The pattern searched in the message."""
    error: Type[AlignClientError]
    """The class of the exception."""
    message: str
    """The template of the exception's message."""
    again: Again = Again.NEVER
    """Whether the request may be sent again."""
    seen: bool = True
    """Whether the server has seen the request, so that its log can hold the request's id."""


_OTHER_CONTRACT = "the {model} of {url} does not speak align-zoo's contract: {reason}"
_NO_MODEL = (
    "{url} has no {model} to answer with ({reason}): is it an align-zoo server, and has it "
    "finished loading?"
)
_NOT_GRPC = "what listens on {url} {hint}; Triton's port 8001 is gRPC, 8000 HTTP ({reason})"
# A server that requires a client certificate ends the connection without an error.
_HINTS = {
    False: "is no gRPC server, or one that wants TLS (tls=...)",
    True: "is no gRPC server, or does not accept this client's certificate, or that it has none "
    "(tls=Tls(cert=..., key=...))",
}
_CERTIFICATE = "the certificate of {url} is not accepted: {reason}"
_BUSY = "{url} has too much to do ({reason}); call again later"
_AWAY = "{url} cannot be reached: {reason}"

# The first rule that matches decides. The gateway uses Triton's texts "server is stopping" and
# "server not ready", in lower case.
_RULES = (
    _Rule(
        "INVALID_ARGUMENT",
        pattern_of(messages.CONTRACT),
        ModelUnavailable,
        _OTHER_CONTRACT,
    ),
    _Rule(
        "INVALID_ARGUMENT",
        pattern_of(messages.BATCH_SIZE),
        ModelUnavailable,
        "the batch size of {model} on {url} has changed ({reason}); call again",
    ),
    _Rule("INVALID_ARGUMENT", "", InvalidInput, "{reason}"),
    _Rule(
        "RESOURCE_EXHAUSTED",
        r"(Sent|Received|Decompressed) message larger than max",
        InvalidInput,
        "the request is too large to be sent ({reason})",
        seen=False,
    ),
    _Rule("RESOURCE_EXHAUSTED", "", Overloaded, _BUSY, Again.ALWAYS),
    _Rule("DEADLINE_EXCEEDED", "", DeadlineExceeded, "{url} did not answer within {timeout:g} s"),
    _Rule(
        "",
        pattern_of(messages.RESTRICTED),
        Unauthorized,
        "{url} wants a key that this call does not carry: {reason}",
    ),
    _Rule(
        "UNAUTHENTICATED",
        r"bearer token is needed",
        Unauthorized,
        "{url} refuses this caller: {reason}; give it to the client as token=...",
    ),
    _Rule("UNAUTHENTICATED", "", Unauthorized, "{url} refuses this caller: {reason}"),
    _Rule("PERMISSION_DENIED", "", Unauthorized, "{url} refuses this caller: {reason}"),
    _Rule(
        "ABORTED",
        r"^server restarted: .* and others$",
        ServerUnavailable,
        "{url} died while it worked on this request and others, and restarts ({reason})",
        Again.ALWAYS,
    ),
    _Rule(
        "ABORTED",
        r"^server restarted",
        ServerUnavailable,
        "{url} died while it worked on this request, and restarts ({reason})",
        Again.ONCE,
    ),
    _Rule(
        "UNAVAILABLE",
        pattern_of(messages.OVERLOADED),
        Overloaded,
        _BUSY,
        Again.ALWAYS,
    ),
    _Rule(
        "UNAVAILABLE",
        pattern_of(messages.STOPPING),
        ServerUnavailable,
        "{url} is starting or stopping ({reason})",
        Again.ALWAYS,
    ),
    _Rule(
        "",
        pattern_of(messages.NOT_LOADED),
        ModelUnavailable,
        _NO_MODEL,
        Again.ALWAYS,
    ),
    _Rule("", pattern_of(messages.UNKNOWN_MODEL), ModelUnavailable, _NO_MODEL),
    _Rule(
        "UNAVAILABLE",
        r"(?i)wrong.version.number",
        ServerUnavailable,
        "what listens on {url} speaks no TLS: leave tls out, or check the port ({reason})",
        Again.ELSEWHERE,
        seen=False,
    ),
    _Rule(
        "UNAVAILABLE",
        r"(?i)certificate|hostname verification|(tls|ssl) handshake",
        ServerUnavailable,
        _CERTIFICATE,
        Again.ELSEWHERE,
        seen=False,
    ),
    _Rule(
        "UNAVAILABLE",
        r"(failed to connect|all backends)"
        r".*(Socket closed|Failed parsing HTTP/2|reset by peer|Handshake read failed)",
        ServerUnavailable,
        _NOT_GRPC,
        Again.UNREACHED,
    ),
    _Rule(
        "UNAVAILABLE",
        r"missing selected ALPN",
        ServerUnavailable,
        "what listens on {url} speaks TLS but no gRPC; Triton's port 8001 is gRPC, 8000 HTTP "
        "({reason})",
        Again.ELSEWHERE,
        seen=False,
    ),
    _Rule(
        "UNAVAILABLE",
        r"(?i)failed to connect|all backends failing|DNS resolution|errors resolving|domain name",
        ServerUnavailable,
        _AWAY,
        Again.UNREACHED,
    ),
    _Rule(
        "UNAVAILABLE",
        r"(?i)socket closed|reset|broken pipe|stream removed|goaway|transport|end of file|\bEOF\b",
        ServerUnavailable,
        _AWAY,
        Again.ONCE,
    ),
    _Rule("UNAVAILABLE", "", ServerUnavailable, _AWAY, Again.ALWAYS),
    _Rule(
        "UNIMPLEMENTED",
        "",
        ServerUnavailable,
        "what listens on {url} speaks gRPC but is no Triton ({reason})",
        Again.ELSEWHERE,
    ),
    _Rule("NOT_FOUND", "", ModelUnavailable, _NO_MODEL),
    _Rule(
        "INTERNAL",
        pattern_of(messages.DEAD_MODEL),
        ModelUnavailable,
        "the process of {model} on {url} has died; the server must be restarted ({reason})",
        Again.ONCE,
    ),
    _Rule("INTERNAL", "", ModelUnavailable, "{model} on {url} failed: {reason}"),
    _Rule("CANCELLED", r"^Channel closed", AlignClientError, "the call was cancelled: {reason}"),
    # The client did not cancel: a closing server drops the requests that have just come in.
    _Rule(
        "CANCELLED",
        "",
        ServerUnavailable,
        "{url} has dropped the call, perhaps because it is stopping ({reason})",
        Again.ONCE,
    ),
)


def failure_of(
    error: InferenceServerException,
    *,
    url: str,
    model: str,
    timeout: float,
    request_id: Optional[str] = None,
    tls: bool = False,
) -> Failure:
    """Choose the client's error for an error of Triton or gRPC, by its code, then by its text.

    Args:
        error: the error of tritonclient.
        url: the address of the server.
        model: the name of the model.
        timeout: seconds that the whole call may take.
        request_id: the id of the request; None if the request has none.
        tls: whether the connection uses TLS.
    """
    code = (error.status() or "").rpartition(".")[2]
    reason = re.sub(r"^\[request id: [^\]]*\] ", "", error.message() or "no reason given")
    for rule in _RULES:
        if rule.code in ("", code) and re.search(rule.text, reason):
            message = rule.message.format(
                url=url, model=model, timeout=timeout, reason=reason, hint=_HINTS[tls]
            )
            seen = rule.seen and rule.again is not Again.UNREACHED
            return Failure(rule.error(message, request_id=request_id if seen else None), rule.again)
    message = f"{model} on {url}: {code or 'error'}: {reason}"
    return Failure(AlignClientError(message, request_id=request_id), Again.NEVER)


class BadItem(NamedTuple):
    """The one item for which the server refuses a request of several items."""

    place: int
    """The item's place in the request, counted from 0."""
    reason: str
    """The server's words about the item."""


# In Triton the error of a request has a code and a text and nothing else, so the place of the bad
# item is the start of the text. align_zoo.serving.model.answer.refused_item writes it. A test holds
# both sides to the same grammar.
_BAD_ITEM = re.compile(r"item ([0-9]{1,9}): ")


def bad_item(error: InvalidInput) -> Optional[BadItem]:
    """Return which item the server names as bad; None if the server names no item."""
    match = _BAD_ITEM.match(error.message)
    return BadItem(int(match[1]), error.message[match.end() :]) if match else None


def breaks_contract(
    url: str, model: str, reason: str, request_id: Optional[str] = None
) -> ModelUnavailable:
    """Make the error of an answer that align-zoo's models cannot have given."""
    message = _OTHER_CONTRACT.format(url=url, model=model, reason=reason)
    return ModelUnavailable(message, request_id=request_id)
