"""One request: to which replica, how often, and whether the answer keeps the contract."""

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
    anew,
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
    method: str
    """Of tritonclient's client."""
    arguments: Sequence[Any] = ()
    id: Optional[str] = None


class _Answer(NamedTuple):
    result: Any
    replica: Replica


class Transport:
    """Requests to the replicas, each within its call's deadline.

    Args:
        runtime: how a request is made.
        replicas: whom to ask.
        headers: of every request.

    Every method raises :class:`AlignClientError`'s subclasses as :func:`failure_of` tells them,
    and ModelUnavailable where the answer is not of align-zoo's models.
    """

    def __init__(self, runtime: Runtime, replicas: Replicas, headers: Dict[str, str]) -> None:
        self.url = replicas.name
        self.replicas = replicas
        self._runtime = runtime
        self._headers = headers
        self._max_batch: Optional[int] = None

    async def ready(self, call: Call, *, deep: bool) -> bool:
        """Whether one of them, the server and both models, says that it is ready, or shows it."""
        left = self.replicas.best_first()
        while left:
            # A share of the time each, so that a silent one does not take it all.
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
        """How many texts one request may carry, from the model's configuration."""
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
            self._max_batch = None  # another model may come, with another batch size
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
        """The answer to a request, sent again where that is safe."""
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
            # Of a call that asks one replica, the other parts wait there for their turn, too.
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
            # Who refuses a call before its message has come knows the id by this alone.
            options["headers"] = {**self._headers, "align-request-id": request.id}
        try:
            triton = self._runtime.channels.to(replica, same=call.replica is not None)
            self._runtime.check_open()  # after that: close() ends what was open before it
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
        except BaseException:  # cancelled, closed
            self.replicas.left_open(replica)
            raise
        self.replicas.answered(replica)
        return _Answer(result, replica)

    def _note(self, replica: Replica, failure: Failure) -> None:
        """How this replica does, by its last words."""
        if isinstance(failure.error, (ServerUnavailable, ModelUnavailable, DeadlineExceeded)):
            if failure.again in (Again.ALWAYS, Again.ONCE):
                self.replicas.answered_before = True
            self.replicas.failed(replica)
        else:
            self.replicas.answered(replica)


def _final(failure: Failure, tries: int) -> AlignClientError:
    """The error of the last try."""
    error = failure.error
    if tries == 1 or failure.again is Again.NEVER:
        return anew(error)
    return anew(error, f"{error.message}; tried {tries} times")
