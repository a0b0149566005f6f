"""Sends one request: chooses the replica, repeats the request, checks the answer."""

from __future__ import annotations

import uuid
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Union

import numpy as np
from tritonclient.grpc import InferInput
from tritonclient.utils import InferenceServerException

from align_client.answers import Broken, Row, rows_of
from align_client.call import Call, Deadline
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
from align_client.rules import Again, Failure, breaks_contract, failure_of
from align_client.runtime import Runtime
from align_client.shrink import tiny_png

__all__ = ["IMAGE_MODEL", "TEXT_MODEL", "Transport"]

IMAGE_MODEL = "align_image"
TEXT_MODEL = "align_text"


class _Request(NamedTuple):
    model: str
    """The name of the model, for messages."""
    method: str
    """The name of the method of tritonclient's client."""
    arguments: Sequence[Any] = ()
    """The positional arguments of the method."""
    id: Optional[str] = None
    """The request's id in the server's log; None for requests that have no id."""


class _Answer(NamedTuple):
    result: Any
    replica: Replica


class Transport:
    """Sends requests to the replicas, each within the deadline of its call.

    Args:
        runtime: makes the requests, in threads or in an event loop.
        replicas: the servers.
        headers: the gRPC headers of every request.

    Every method raises the subclass of :class:`AlignClientError` that :func:`failure_of` chooses,
    and ModelUnavailable if the answer breaks the contract of align-zoo's models.
    """

    def __init__(self, runtime: Runtime, replicas: Replicas, headers: Dict[str, str]) -> None:
        self.url = replicas.name
        self.replicas = replicas
        self._runtime = runtime
        self._headers = headers
        self._max_batch: Optional[int] = None

    async def ready(self, call: Call, *, deep: bool) -> bool:
        """Return whether one of the servers and both its models are ready; ``deep``: embed, too."""
        left = self.replicas.best_first()
        while left:
            # Each replica has a share of the time, so that a silent replica does not use all of it.
            share = Deadline(call.deadline.left() / len(left))
            if await self._ready(Call(share, retries=False, replica=left.pop(0)), deep=deep):
                return True
        return False

    async def _ready(self, call: Call, *, deep: bool) -> bool:
        asked = [_Request("server", "is_server_ready")]
        asked += [_Request(m, "is_model_ready", [m]) for m in (IMAGE_MODEL, TEXT_MODEL)]
        try:
            for request in asked:
                if not (await self._ask(request, call)).result:
                    return False
            if deep:
                image = await self.embed_image(tiny_png(), call)
                (text,) = await self.embed_texts(["a photo"], call)
                return image.checkpoint == text.checkpoint
        except AlignClientError:
            self._runtime.check_open()
            return False
        return True

    async def max_texts(self, call: Call) -> int:
        """Return how many texts one request may hold, from the model's configuration."""
        if self._max_batch is None:
            answer = await self._ask(_Request(TEXT_MODEL, "get_model_config", [TEXT_MODEL]), call)
            size = answer.result.config.max_batch_size
            if size < 1:
                raise breaks_contract(answer.replica.url, TEXT_MODEL, "it does not batch")
            self._max_batch = size
        return self._max_batch

    async def embed_image(self, data: bytes, call: Call) -> Row:
        """Embed one encoded image."""
        return (await self._embed(IMAGE_MODEL, "IMAGE", [data], call))[0]

    async def embed_texts(self, texts: Sequence[str], call: Call) -> List[Row]:
        """Embed at most :meth:`max_texts` texts in one request."""
        try:
            items = [text.encode("utf-8") for text in texts]
            return await self._embed(TEXT_MODEL, "TEXT", items, call)
        except ModelUnavailable:
            self._max_batch = None  # the next model may have another batch size
            raise

    async def _embed(self, model: str, name: str, items: List[bytes], call: Call) -> List[Row]:
        tensor = InferInput(name, [len(items), 1], "BYTES")
        try:
            tensor.set_data_from_numpy(np.array([[item] for item in items], dtype=np.object_))
        except InferenceServerException as error:
            raise InvalidInput(f"the request cannot be written: {error}") from error
        request = _Request(model, "infer", [model, [tensor]], uuid.uuid4().hex[:16])
        result, replica = await self._ask(request, call)
        try:
            return rows_of(result, len(items), of_texts=model == TEXT_MODEL, replica=replica)
        except Broken as error:
            raise breaks_contract(replica.url, model, str(error), request.id) from error

    async def _ask(self, request: _Request, call: Call) -> _Answer:
        """Send a request, again where that is safe, and return the answer."""
        retries = Retries(call)
        tried: Set[Replica] = set()
        tries = 0
        while True:
            first = call.replica if call.replica not in tried else None
            replica = first or self.replicas.choose(tried)
            tries += 1
            answer = await self._try(request, call, replica)
            if isinstance(answer, _Answer):
                return answer
            # If the call asks one replica alone, stay there: its other requests wait there, too.
            stay = replica is call.replica and isinstance(answer.error, Overloaded)
            tried |= set() if stay else {replica}
            wrong = answer.again is Again.ELSEWHERE
            pause = retries.pause(
                answer.again,
                another=not stay and self.replicas.another(tried, resting=wrong),
                answered_before=self.replicas.answered_before,
            )
            if pause is None:
                raise _final(answer, tries)
            if pause:
                await self._runtime.sleep(pause)
                tried.clear()

    async def _try(
        self, request: _Request, call: Call, replica: Replica
    ) -> Union[_Answer, Failure]:
        left, timeout = call.deadline.left(), call.deadline.timeout
        if left <= 0:
            self.replicas.left_open(replica)
            raise too_late(replica.url, timeout, request.id)
        options: Dict[str, Any] = {"client_timeout": left, "headers": self._headers}
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
            self.replicas.left_open(replica)
            raise
        self.replicas.answered(replica)
        return _Answer(result, replica)

    def _note(self, replica: Replica, failure: Failure) -> None:
        """Note by the failure whether the replica works."""
        if isinstance(failure.error, (ServerUnavailable, ModelUnavailable, DeadlineExceeded)):
            if failure.again in (Again.ALWAYS, Again.ONCE):
                self.replicas.answered_before = True
            self.replicas.failed(replica)
        else:
            self.replicas.answered(replica)


def _final(failure: Failure, tries: int) -> AlignClientError:
    """Return the error of the last try, with the number of tries."""
    error = failure.error
    if tries == 1 or failure.again is Again.NEVER:
        return copy_of(error)
    return copy_of(error, f"{error.message}; tried {tries} times")
