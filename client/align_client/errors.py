"""What can go wrong, as a caller can act on it; and Triton's errors turned into that."""

from __future__ import annotations

import re
from typing import NamedTuple, Type

from tritonclient.utils import InferenceServerException

__all__ = [
    "AlignClientError",
    "DeadlineExceeded",
    "InvalidInput",
    "ModelUnavailable",
    "Overloaded",
    "ServerUnavailable",
    "Unauthorized",
    "breaks_contract",
    "from_triton",
    "too_late",
]


class AlignClientError(Exception):
    """Anything this package raises; ``__cause__`` is what it comes from.

    Raised itself when the client was closed, or when the server's error fits no class below:
    then read the message.
    """


class InvalidInput(AlignClientError):
    """This picture, text or argument cannot be used; the message says why.

    Mend it or leave it out. The same call again fails again; other items are not affected.
    """


class Overloaded(AlignClientError):
    """The server has more work than it can queue and refused this call.

    Wait a little and call again, or send less at once.
    """


class DeadlineExceeded(AlignClientError):
    """The answer did not come within the client's ``timeout``.

    Call again, with a longer ``timeout`` if the batch is large or the server slow.
    """


class Unauthorized(AlignClientError):
    """The server wants a key or token that the call does not carry.

    Ask its operator for one; the same call again fails again.
    """


class ModelUnavailable(AlignClientError):
    """The server answers, but align-zoo's models do not.

    They are still loading, have failed, are just being replaced, or this is another server.
    Call again after some seconds; if it lasts, the server's operator has to look.
    """


class ServerUnavailable(AlignClientError):
    """There is no Triton at this address, or it is stopping.

    Check the address (8001 is Triton's usual gRPC port) and that the server runs; a server
    that is being restarted answers again after some seconds.
    """


class _Rule(NamedTuple):
    code: str
    """gRPC's status code; "" stands for any."""
    text: str
    """Pattern searched in the message."""
    error: Type[AlignClientError]
    message: str


_OTHER_CONTRACT = "the {model} of {url} does not speak align-zoo's contract: {reason}"
_NO_MODEL = (
    "{url} has no {model} to answer with ({reason}): is it an align-zoo server, and has it "
    "finished loading?"
)
_NOT_GRPC = "what listens on {url} is no gRPC server; Triton's port 8001 is gRPC, 8000 HTTP"

# The first rule that fits decides. Triton tells much by its text alone: a full queue, a missing
# key and a stopping server are all UNAVAILABLE.
_RULES = (
    _Rule(
        "INVALID_ARGUMENT",
        r"^unexpected inference (in|out)put |^unexpected shape for input |^inference input '"
        r"|^expected \d+ (inputs|string elements)",
        ModelUnavailable,
        _OTHER_CONTRACT,
    ),
    _Rule(
        "INVALID_ARGUMENT",
        r"^inference request batch-size must be",
        ModelUnavailable,
        "the batch size of {model} on {url} has changed ({reason}); call again",
    ),
    _Rule("INVALID_ARGUMENT", "", InvalidInput, "{reason}"),
    _Rule(
        "RESOURCE_EXHAUSTED",
        r"Sent message larger than max",
        InvalidInput,
        "the request is too large to be sent ({reason})",
    ),
    _Rule("DEADLINE_EXCEEDED", "", DeadlineExceeded, "{url} did not answer within {timeout:g} s"),
    _Rule(
        "",
        r"protocol is restricted",
        Unauthorized,
        "{url} wants a key that this call does not carry: {reason}",
    ),
    _Rule("UNAUTHENTICATED", "", Unauthorized, "{url} refuses this caller: {reason}"),
    _Rule("PERMISSION_DENIED", "", Unauthorized, "{url} refuses this caller: {reason}"),
    _Rule(
        "UNAVAILABLE",
        r"(?i)exceeds maximum queue size|request timeout expired",
        Overloaded,
        "{url} has too much to do ({reason}); call again later",
    ),
    _Rule(
        "UNAVAILABLE",
        r"(?i)server (is stopping|exiting|not ready)",
        ServerUnavailable,
        "{url} is starting or stopping ({reason})",
    ),
    _Rule("", r"(?i)no available versions|is not ready|unknown model", ModelUnavailable, _NO_MODEL),
    _Rule(
        "UNAVAILABLE",
        r"failed to connect.*(Socket closed|Failed parsing HTTP/2)",
        ServerUnavailable,
        _NOT_GRPC + " ({reason})",
    ),
    _Rule("UNAVAILABLE", "", ServerUnavailable, "{url} cannot be reached: {reason}"),
    _Rule(
        "UNIMPLEMENTED",
        "",
        ServerUnavailable,
        "what listens on {url} speaks gRPC but is no Triton ({reason})",
    ),
    _Rule("NOT_FOUND", "", ModelUnavailable, _NO_MODEL),
    _Rule(
        "INTERNAL",
        r"Stub process .*not healthy",
        ModelUnavailable,
        "the process of {model} on {url} has died; the server must be restarted ({reason})",
    ),
    _Rule("INTERNAL", "", ModelUnavailable, "{model} on {url} failed: {reason}"),
    _Rule("CANCELLED", "", AlignClientError, "the call was cancelled: {reason}"),
)


def from_triton(
    error: InferenceServerException, *, url: str, model: str, timeout: float
) -> AlignClientError:
    """Triton's or gRPC's error as one of ours, told by its code, then by its text."""
    code = (error.status() or "").rpartition(".")[2]
    reason = re.sub(r"^\[request id: [^\]]*\] ", "", error.message() or "no reason given")
    for rule in _RULES:
        if rule.code in ("", code) and re.search(rule.text, reason):
            about = {"url": url, "model": model, "timeout": timeout, "reason": reason}
            return rule.error(rule.message.format(**about))
    return AlignClientError(f"{model} on {url}: {code or 'error'}: {reason}")


def too_late(url: str, timeout: float) -> DeadlineExceeded:
    """The error of a call whose time was up before it was sent."""
    return DeadlineExceeded(f"{url} did not answer within {timeout:g} s")


def breaks_contract(url: str, model: str, reason: str) -> ModelUnavailable:
    """The error of an answer that align-zoo's models cannot have given."""
    return ModelUnavailable(_OTHER_CONTRACT.format(url=url, model=model, reason=reason))
