"""The exceptions of the client: one class for each way in which a caller can react."""

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
    "copy_of",
    "kept",
    "placed",
    "too_late",
]

A = TypeVar("A", bound="AlignClientError")
E = TypeVar("E", bound=BaseException)


class AlignClientError(Exception):
    """Base of every exception that this package raises; ``__cause__`` is the original error.

    >>> try:
    ...     predictions = client.classify("dog.jpg", ["a dog", "a cat"])
    ... except AlignClientError as error:
    ...     print(error.request_id, error.message)

    The base class itself is raised if the client is closed, or if an error of the server fits no
    subclass. Read the message then.
    """

    def __init__(self, message: str = "", *, request_id: Optional[str] = None) -> None:
        super().__init__(f"{message} (request {request_id})" if request_id else message)
        self.message = message
        """The description of the fault, without the request's id."""
        self.request_id = request_id
        """The id of the request in the server's log; None if no server has seen the request."""


class InvalidInput(AlignClientError):
    """An image, text or argument cannot be used; the message says why.

    >>> client.embed_image(b"no image")
    Traceback (most recent call last):
    align_client.errors.InvalidInput: image 0: not an image in an accepted format

    Correct the input or leave it out. The same call fails again; other items are not affected.
    """


class Overloaded(AlignClientError):
    """The server has more work than it can queue, and refused this call at every try.

    >>> try:
    ...     embeddings = client.embed_image(files)
    ... except Overloaded:
    ...     time.sleep(10)

    Wait a little and call again, or send fewer items at once.
    """


class DeadlineExceeded(AlignClientError):
    """The answer did not come within the client's ``timeout``.

    >>> try:
    ...     embeddings = AlignClient(url, timeout=30).embed_image(files)
    ... except DeadlineExceeded:
    ...     embeddings = AlignClient(url, timeout=300).embed_image(files)

    Call again, with a longer ``timeout`` if the batch is large or the server is slow.
    """


class Unauthorized(AlignClientError):
    """The call has no token or certificate that the server accepts.

    >>> client = AlignClient("align.example.org:8001", tls=True, token="an old token")
    >>> client.embed_text("a dog")
    Traceback (most recent call last):
    align_client.errors.Unauthorized: ...

    Ask the server's operator for a token or certificate; the same call fails again.
    """


class ModelUnavailable(AlignClientError):
    """The server answers, but align-zoo's models do not.

    >>> try:
    ...     client.embed_text("a dog")
    ... except ModelUnavailable as error:
    ...     print("not ready:", error.message)

    The models are still loading, have failed or are being replaced, or the server is not
    align-zoo's. Call again after some seconds; if the error lasts, ask the server's operator.
    """


class ServerUnavailable(AlignClientError):
    """No server answers at this address, the server is starting or stopping, or TLS fails.

    >>> AlignClient("localhost:1").embed_text("a dog")
    Traceback (most recent call last):
    align_client.errors.ServerUnavailable: ...

    Check the address (8001 is the usual gRPC port), whether the server runs, and the
    certificates. A server that is being restarted answers again after some seconds.
    """


def too_late(url: str, timeout: float, request_id: Optional[str] = None) -> DeadlineExceeded:
    """Make the error of a request whose deadline has passed before it was sent."""
    message = f"{url} did not answer within {timeout:g} s"
    return DeadlineExceeded(message, request_id=request_id)


def kept(error: E) -> E:
    """Remove the tracebacks of an error and its causes, and return the error to be kept.

    The variables in the tracebacks' frames hold the image as the caller gave it, as encoded, and
    in its request.
    """
    each: Optional[BaseException] = error
    while each is not None:
        each.__traceback__ = each.__context__ = None
        each = each.__cause__
    return error


def copy_of(error: A, message: Optional[str] = None) -> A:
    """Return a copy of the error with the same cause, with another message if one is given.

    Raise the copy in place of an error that a variable holds. A raised error holds, through its
    traceback, the frame of that variable. The frame would hold the error in turn, so neither
    would be freed, nor anything else that the frame holds.
    """
    copy = type(error)(error.message if message is None else message, request_id=error.request_id)
    copy.__cause__ = error.__cause__
    return copy


def placed(error: AlignClientError, where: str) -> AlignClientError:
    """Return the error; the message of an InvalidInput begins with ``where``, the input's place."""
    return copy_of(error, f"{where}{error.message}") if isinstance(error, InvalidInput) else error
