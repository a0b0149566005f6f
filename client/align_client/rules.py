"""Errors of Triton, of align-zoo's gateway and of gRPC, turned into ours."""

from __future__ import annotations

import enum
import re
from typing import NamedTuple, Optional, Type

from tritonclient.utils import InferenceServerException

from align_client import triton_texts as texts
from align_client.errors import (
    AlignClientError,
    DeadlineExceeded,
    InvalidInput,
    ModelUnavailable,
    Overloaded,
    ServerUnavailable,
    Unauthorized,
)
from align_client.triton_texts import pattern_of

__all__ = ["Again", "BadItem", "Failure", "bad_item", "breaks_contract", "failure_of"]


class Again(enum.Enum):
    """Whether a request that failed may be sent again."""

    NEVER = "it would fail again, or its time is up"
    ALWAYS = "the server has not begun with it"
    ONCE = "the server died with it, perhaps of it"
    ELSEWHERE = "this address is not a server for us; another one may be"
    UNREACHED = "nobody is there: ALWAYS if somebody was there before, else ELSEWHERE"


class Failure(NamedTuple):
    """An error, and what may be done about it."""

    error: AlignClientError
    again: Again


class _Rule(NamedTuple):
    code: str
    """gRPC's status code; "" stands for any."""
    text: str
    """Pattern searched in the message."""
    error: Type[AlignClientError]
    message: str
    again: Again = Again.NEVER
    seen: bool = True
    """Whether the server's own code has seen the request, so that its log can name it."""


_OTHER_CONTRACT = "the {model} of {url} does not speak align-zoo's contract: {reason}"
_NO_MODEL = (
    "{url} has no {model} to answer with ({reason}): is it an align-zoo server, and has it "
    "finished loading?"
)
_NOT_GRPC = "what listens on {url} {hint}; Triton's port 8001 is gRPC, 8000 HTTP ({reason})"
# A server that wants a certificate of its callers hangs up without a word.
_HINTS = {
    False: "is no gRPC server, or one that wants TLS (tls=...)",
    True: "is no gRPC server, or does not accept this client's certificate, or that it has none "
    "(tls=Tls(cert=..., key=...))",
}
_CERTIFICATE = "the certificate of {url} is not accepted: {reason}"
_BUSY = "{url} has too much to do ({reason}); call again later"
_AWAY = "{url} cannot be reached: {reason}"

# The first rule that fits decides. The gateway says "server is stopping" and "server not ready"
# as Triton does, in small letters.
_RULES = (
    _Rule(
        "INVALID_ARGUMENT",
        pattern_of(texts.CONTRACT),
        ModelUnavailable,
        _OTHER_CONTRACT,
    ),
    _Rule(
        "INVALID_ARGUMENT",
        pattern_of(texts.BATCH_SIZE),
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
        pattern_of(texts.RESTRICTED),
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
        pattern_of(texts.OVERLOADED),
        Overloaded,
        _BUSY,
        Again.ALWAYS,
    ),
    _Rule(
        "UNAVAILABLE",
        pattern_of(texts.STOPPING),
        ServerUnavailable,
        "{url} is starting or stopping ({reason})",
        Again.ALWAYS,
    ),
    _Rule(
        "",
        pattern_of(texts.NOT_LOADED),
        ModelUnavailable,
        _NO_MODEL,
        Again.ALWAYS,
    ),
    _Rule("", pattern_of(texts.UNKNOWN_MODEL), ModelUnavailable, _NO_MODEL),
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
        pattern_of(texts.DEAD_MODEL),
        ModelUnavailable,
        "the process of {model} on {url} has died; the server must be restarted ({reason})",
        Again.ONCE,
    ),
    _Rule("INTERNAL", "", ModelUnavailable, "{model} on {url} failed: {reason}"),
    _Rule("CANCELLED", r"^Channel closed", AlignClientError, "the call was cancelled: {reason}"),
    # Not by us: a server that closes drops what has just come in.
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
    """Triton's or gRPC's error as one of ours, told by its code, then by its text."""
    code = (error.status() or "").rpartition(".")[2]
    reason = re.sub(r"^\[request id: [^\]]*\] ", "", error.message() or "no reason given")
    for rule in _RULES:
        if rule.code in ("", code) and re.search(rule.text, reason):
            message = rule.message.format(
                url=url, model=model, timeout=timeout, reason=reason, hint=_HINTS[tls]
            )
            seen = rule.seen and rule.again is not Again.UNREACHED
            told = rule.error(message, request_id=request_id if seen else None)
            return Failure(told, rule.again)
    message = f"{model} on {url}: {code or 'error'}: {reason}"
    return Failure(AlignClientError(message, request_id=request_id), Again.NEVER)


class BadItem(NamedTuple):
    """The one item for which the server refuses a request of several items."""

    place: int
    """The item's place in the request, counted from 0."""
    reason: str
    """The server's words about the item."""


_BAD_ITEM = re.compile(r"item ([0-9]{1,9}): ")
# Triton carries a code and a text of a failed request and nothing else, so the index travels at the
# start of the text. align_zoo.serving.model.answer.refused_item writes it; a test holds the two
# against each other.


def bad_item(error: InvalidInput) -> Optional[BadItem]:
    """Return which item the server names as bad; None if the server names no item."""
    match = _BAD_ITEM.match(error.message)
    return BadItem(int(match[1]), error.message[match.end() :]) if match else None


def breaks_contract(
    url: str, model: str, reason: str, request_id: Optional[str] = None
) -> ModelUnavailable:
    """The error of an answer that align-zoo's models cannot have given."""
    message = _OTHER_CONTRACT.format(url=url, model=model, reason=reason)
    return ModelUnavailable(message, request_id=request_id)
