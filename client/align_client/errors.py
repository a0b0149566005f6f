"""What can go wrong, as a caller can act on it."""

from __future__ import annotations

from typing import Optional, TypeVar

__all__ = [
    "AlignClientError",
    "DeadlineExceeded",
    "InvalidInput",
    "ModelUnavailable",
    "Overloaded",
    "ServerUnavailable",
    "Unauthorized",
    "anew",
    "kept",
    "placed",
    "too_late",
]

A = TypeVar("A", bound="AlignClientError")
E = TypeVar("E", bound=BaseException)


class AlignClientError(Exception):
    """Anything this package raises; ``__cause__`` is what it comes from.

    Raised itself when the client was closed, or when the server's error fits no class below:
    then read the message.
    """

    def __init__(self, message: str = "", *, request_id: Optional[str] = None) -> None:
        super().__init__(f"{message} (request {request_id})" if request_id else message)
        self.message = message
        """What went wrong, without the request."""
        self.request_id = request_id
        """By which the server's log names the request; None where none has reached a server."""


class InvalidInput(AlignClientError):
    """This picture, text or argument cannot be used; the message says why.

    Mend it or leave it out. The same call again fails again; other items are not affected.
    """


class Overloaded(AlignClientError):
    """The server has more work than it can queue and refused this call, time and again.

    Wait a little and call again, or send less at once.
    """


class DeadlineExceeded(AlignClientError):
    """The answer did not come within the client's ``timeout``.

    Call again, with a longer ``timeout`` if the batch is large or the server slow.
    """


class Unauthorized(AlignClientError):
    """The server wants a token or certificate that the call does not carry, or refuses this one.

    Ask its operator for one; the same call again fails again.
    """


class ModelUnavailable(AlignClientError):
    """The server answers, but align-zoo's models do not.

    They are still loading, have failed, are just being replaced, or this is another server.
    Call again after some seconds; if it lasts, the server's operator has to look.
    """


class ServerUnavailable(AlignClientError):
    """There is no server at this address, it is starting or stopping, or its TLS is not ours.

    Check the address (8001 is the usual gRPC port) and that the server runs; a server
    that is being restarted answers again after some seconds.
    """


def too_late(url: str, timeout: float, request_id: Optional[str] = None) -> DeadlineExceeded:
    """The error of a call whose time was up before it was sent."""
    message = f"{url} did not answer within {timeout:g} s"
    return DeadlineExceeded(message, request_id=request_id)


def kept(error: E) -> E:
    """The error as a value: without the frames that it and its causes came through.

    Their variables hold the picture as it was given, as it was encoded, and in its request.
    """
    each: Optional[BaseException] = error
    while each is not None:
        each.__traceback__ = each.__context__ = None
        each = each.__cause__
    return error


def anew(error: A, message: Optional[str] = None) -> A:
    """Another error of this kind and cause; in other words, if some are given.

    It is raised in place of one that a variable holds. A raised one holds by its traceback the
    frame of that variable, and would so keep itself, and all that is in there, from being freed.
    """
    told = type(error)(error.message if message is None else message, request_id=error.request_id)
    told.__cause__ = error.__cause__
    return told


def placed(error: AlignClientError, where: str) -> AlignClientError:
    """The error; that an input is bad, with the place where the caller gave it."""
    return anew(error, f"{where}{error.message}") if isinstance(error, InvalidInput) else error
