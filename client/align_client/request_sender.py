"""Sends one request: chooses the replica, and repeats the request where that is safe."""

from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Set, Union

from tritonclient.utils import InferenceServerException

from align_client.call import Call
from align_client.errors import (
    AlignClientError,
    DeadlineExceeded,
    InvalidInput,
    ModelUnavailable,
    Overloaded,
    ServerUnavailable,
    copy_of,
    kept,
    too_late,
)
from align_client.replicas import Replica, Replicas
from align_client.retries import Retries
from align_client.rules import Again, Failure, failure_of
from align_client.runtime import Runtime

__all__ = ["Answer", "Apart", "Request", "RequestSender"]

_DIED = "died while it worked on this request"
"""The words of :mod:`rules` for a request that was with a server at its death."""


class Request(NamedTuple):
    """A call of a method of tritonclient's client."""

    model: str
    """The name of the model, for messages."""
    method: str
    """The name of the method of tritonclient's client."""
    arguments: Sequence[Any] = ()
    """The positional arguments of the method."""
    id: Optional[str] = None
    """The request's id in the server's log; None for requests that have no id."""
    options: Mapping[str, Any] = {}
    """The keyword arguments of the method."""
    pack: bool = False
    """Whether the request has items that can be sent one by one instead."""


class Answer(NamedTuple):
    """What a method of tritonclient's client has returned, and the replica that it asked."""

    result: Any
    replica: Replica


class Apart(Exception):
    """The items of a pack must be sent one by one.

    Args:
        died: whether the server died with the pack.
    """

    def __init__(self, died: bool) -> None:
        super().__init__(died)
        self.died = died


class RequestSender:
    """Sends requests to the replicas.

    >>> sender = RequestSender(runtime, replicas, headers)
    >>> answer = await sender.send(Request("server", "is_server_ready"), call)

    Args:
        runtime: makes the requests, in threads or in an event loop.
        replicas: the servers.
        headers: the gRPC headers of every request.
    """

    def __init__(self, runtime: Runtime, replicas: Replicas, headers: Dict[str, str]) -> None:
        self._replicas = replicas
        self._runtime = runtime
        self._headers = headers

    async def send(self, request: Request, call: Call) -> Answer:
        """Send a request, again where that is safe, and return the answer.

        Raises:
            Apart: a pack must be sent item by item.
            AlignClientError: the subclass that :func:`failure_of` chooses for the last try.
        """
        retries = Retries(call)
        tried: Set[Replica] = set()
        tries = 0
        while True:
            first = call.replica if call.replica not in tried else None
            replica = first or self._replicas.choose(tried)
            tries += 1
            answer = await self._try(request, call, replica)
            if isinstance(answer, Answer):
                return answer
            if request.pack and _because_of_an_item(answer):
                raise Apart(died=_DIED in answer.error.message)
            # If the call asks one replica alone, stay there: its other requests wait there, too.
            stay = replica is call.replica and isinstance(answer.error, Overloaded)
            tried |= set() if stay else {replica}
            wrong = answer.again is Again.ELSEWHERE
            pause = retries.pause(
                answer.again,
                another=not stay and self._replicas.another(tried, resting=wrong),
                answered_before=self._replicas.answered_before,
            )
            if pause is None:
                raise _final(answer, tries)
            if pause:
                await self._runtime.sleep(pause)
                tried.clear()

    async def _try(self, request: Request, call: Call, replica: Replica) -> Union[Answer, Failure]:
        left, timeout = call.deadline.left(), call.deadline.timeout
        if left <= 0:
            self._replicas.left_open(replica)
            raise too_late(replica.url, timeout, request.id)
        options: Dict[str, Any] = {
            **request.options,
            "client_timeout": left,
            "headers": self._headers,
        }
        if request.id:
            options["request_id"] = request.id
            # A gateway that refuses a call before its message has come knows the id only by this.
            options["headers"] = {**self._headers, "align-request-id": request.id}
        try:
            triton = self._runtime.channels.to(replica, same=call.replica is not None)
            # After to(): a connection made during close() would not be ended by it.
            self._runtime.check_open()
            result = await self._runtime.call(
                getattr(triton, request.method), *request.arguments, **options
            )
        except InferenceServerException as error:
            self._runtime.check_open()
            failure = failure_of(
                error,
                url=replica.url,
                model=request.model,
                timeout=timeout,
                request_id=request.id,
                tls=self._runtime.channels.tls,
            )
            failure.error.__cause__ = kept(error)
            self._note(replica, failure)
            return failure
        except BaseException:  # the call was cancelled, or the client closed
            self._replicas.left_open(replica)
            raise
        self._replicas.answered(replica)
        return Answer(result, replica)

    def _note(self, replica: Replica, failure: Failure) -> None:
        """Note by the failure whether the replica works."""
        if isinstance(failure.error, (ServerUnavailable, ModelUnavailable, DeadlineExceeded)):
            if failure.again in (Again.ALWAYS, Again.ONCE):
                self._replicas.answered_before = True
            self._replicas.failed(replica)
        else:
            self._replicas.answered(replica)


def _because_of_an_item(failure: Failure) -> bool:
    """Return whether a request may have failed because of one of its items.

    A pack that was with a server at its death is not sent again even if it was there with other
    requests: a deadly image would end a server in the pack, and others alone.
    """
    if failure.again is Again.ONCE or _DIED in failure.error.message:
        return True
    refused = isinstance(failure.error, (InvalidInput, ModelUnavailable))
    return refused and failure.again is Again.NEVER


def _final(failure: Failure, tries: int) -> AlignClientError:
    """Return the error of the last try, with the number of tries."""
    error = failure.error
    if tries == 1 or failure.again is Again.NEVER:
        return copy_of(error)
    return copy_of(error, f"{error.message}; tried {tries} times")
