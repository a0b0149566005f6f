"""Asks the models: writes each request, and reads and checks its answer."""

from __future__ import annotations

import uuid
from typing import Dict, List, NamedTuple, Sequence

import numpy as np
from tritonclient.grpc import InferInput
from tritonclient.utils import InferenceServerException

from align_client.answers import Broken, Row, rows_of
from align_client.call import Call, Deadline
from align_client.errors import AlignClientError, InvalidInput, ModelUnavailable
from align_client.replicas import Replicas
from align_client.request_sender import Apart, Request, RequestSender
from align_client.rules import breaks_contract
from align_client.runtime import Outcome, Runtime
from align_client.shrink import tiny_png

__all__ = ["IMAGE_MODEL", "TEXT_MODEL", "Batch", "Transport"]

IMAGE_MODEL = "align_image"
TEXT_MODEL = "align_text"

_NO_ERRORS = "parameter 'errors' is not accepted"
"""The words of an older gateway, which does not know errors of items."""


class Batch(NamedTuple):
    """What a request to a model may have."""

    size: int
    """The most items."""
    errors: bool
    """Whether the answer can have an error for each item (the output ERROR); older servers fail
    the whole request."""


class Transport:
    """Asks the models of the replicas, each request within the deadline of its call.

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
        self._sender = RequestSender(runtime, replicas, headers)
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
        asked = [Request("server", "is_server_ready")]
        asked += [Request(m, "is_model_ready", [m]) for m in (IMAGE_MODEL, TEXT_MODEL)]
        try:
            for request in asked:
                if not (await self._sender.send(request, call)).result:
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
            answer = await self._sender.send(Request(model, "get_model_config", [model]), call)
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
        request = Request(model, "infer", [model, [tensor]], id, options, pack)
        result, replica = await self._sender.send(request, call)
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
