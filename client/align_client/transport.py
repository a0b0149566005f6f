"""Sends one request: chooses the replica, repeats the request, checks the answer."""

from __future__ import annotations

import uuid
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Union

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
from align_client.runtime import Outcome, Runtime
from align_client.shrink import tiny_png

__all__ = ["IMAGE_MODEL", "TEXT_MODEL", "Apart", "Batch", "Transport"]

IMAGE_MODEL = "align_image"
TEXT_MODEL = "align_text"

_NO_ERRORS = "parameter 'errors' is not accepted"
"""The words of an older gateway, which does not know errors of items."""
_DIED = "died while it worked on this request"
"""The words of :mod:`rules` for a request that was with a server at its death."""


class _Request(NamedTuple):
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


class _Answer(NamedTuple):
    result: Any
    replica: Replica


class Batch(NamedTuple):
    """What a request to a model may have."""

    size: int
    """The most items."""
    errors: bool
    """Whether the answer can have an error for each item (the output ERROR); older servers fail
    the whole request."""


class Apart(Exception):
    """The items of a pack must be sent one by one.

    Args:
        died: whether the server died with the pack.
    """

    def __init__(self, died: bool) -> None:
        super().__init__(died)
        self.died = died


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
        self._batches: Dict[str, Batch] = {}

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
                return isinstance(text, Row) and image.checkpoint == text.checkpoint
        except AlignClientError:
            self._runtime.check_open()
            return False
        return True

    async def batch(self, model: str, call: Call) -> Batch:
        """Return what one request may have, from the model's configuration."""
        if model not in self._batches:
            answer = await self._ask(_Request(model, "get_model_config", [model]), call)
            config = answer.result.config
            if config.max_batch_size < 1:
                raise breaks_contract(answer.replica.url, model, "it does not batch")
            errors = any(output.name == "ERROR" for output in config.output)
            self._batches[model] = Batch(config.max_batch_size, errors)
        return self._batches[model]

    def forget_batch(self, model: str) -> None:
        """Ask again at the next call: a server may have been replaced by a newer one."""
        self._batches.pop(model, None)

    async def embed_image(self, data: bytes, call: Call) -> Row:
        """Embed one encoded image."""
        (row,) = await self._embed(IMAGE_MODEL, "IMAGE", [data], call)
        assert isinstance(row, Row)  # without errors=True an error is raised
        return row

    async def embed_images(self, files: List[bytes], call: Call) -> List[Outcome[Row]]:
        """Embed encoded images in one request.

        Raises:
            Apart: the server died with the request, has failed because of an item, or is an older
                one, which does not know errors of items.
        """
        try:
            return await self._embed(IMAGE_MODEL, "IMAGE", files, call, errors=True, pack=True)
        except Apart:
            self.forget_batch(IMAGE_MODEL)
            raise

    async def embed_texts(self, texts: Sequence[str], call: Call) -> List[Outcome[Row]]:
        """Embed at most a batch of texts in one request.

        The error of a bad text stands in its place if the server can say it. An older server
        raises InvalidInput for the first bad text.
        """
        items = [text.encode("utf-8") for text in texts]
        try:
            # A refusal of a single text is in the server's log with its id.
            known = self._batches.get(TEXT_MODEL)
            if known and known.errors and len(items) > 1:
                try:
                    return await self._embed(TEXT_MODEL, "TEXT", items, call, errors=True)
                except InvalidInput as error:
                    if _NO_ERRORS not in error.message:
                        raise
                    self.forget_batch(TEXT_MODEL)  # another replica is an older one
            return await self._embed(TEXT_MODEL, "TEXT", items, call)
        except ModelUnavailable:
            self.forget_batch(TEXT_MODEL)  # the next model may have another batch size
            raise

    async def _embed(
        self,
        model: str,
        name: str,
        items: List[bytes],
        call: Call,
        *,
        errors: bool = False,
        pack: bool = False,
    ) -> List[Outcome[Row]]:
        tensor = InferInput(name, [len(items), 1], "BYTES")
        try:
            tensor.set_data_from_numpy(np.array([[item] for item in items], dtype=np.object_))
        except InferenceServerException as error:
            raise InvalidInput(f"the request cannot be written: {error}") from error
        id = uuid.uuid4().hex[:16]
        options = {"parameters": {"errors": "return"}} if errors else {}
        request = _Request(model, "infer", [model, [tensor]], id, options, pack)
        result, replica = await self._ask(request, call)
        try:
            return [
                *rows_of(
                    result,
                    len(items),
                    of_texts=model == TEXT_MODEL,
                    replica=replica,
                    request_id=id,
                )
            ]
        except Broken as error:
            raise breaks_contract(replica.url, model, str(error), id) from error

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
            if request.pack and _because_of_an_item(answer):
                raise Apart(died=_DIED in answer.error.message)
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
