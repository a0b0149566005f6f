"""The items of one request to their unit vectors, through the queues of both models."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
from tritonclient.grpc import service_pb2
from tritonclient.utils import deserialize_bytes_tensor

from align_zoo.errors import InvalidInput, reason_of
from align_zoo.serving.gateway.allowed import MODELS
from align_zoo.serving.gateway.calls import GRPC_INFER
from align_zoo.serving.gateway.grpc_request import without_id
from align_zoo.serving.gateway.journal import Entry
from align_zoo.serving.gateway.parts import Parts
from align_zoo.serving.gateway.refusal import Reason, Refusal
from align_zoo.serving.gateway.suspects import Content

__all__ = ["Inference", "Outcome", "Row"]

_TRIES = 2
_BATCH_BYTES = 2**22
"""The bytes after which a batch is full: each of its bytes is copied thrice while no other call is
answered."""
_OUTPUTS = {
    "align_image": ("EMBEDDING", "CHECKPOINT", "ERROR"),
    "align_text": ("EMBEDDING", "CHECKPOINT", "ERROR", "TOKENS", "TEMPERATURE"),
}
_T = TypeVar("_T")


class Row(NamedTuple):
    """The answer to one item."""

    vector: np.ndarray
    """The unit vector [D], float32."""
    checkpoint: str
    """The fingerprint of the checkpoint that computed the vector."""
    tokens: int
    """The tokens of a text; 0 for an image."""
    temperature: float
    """The learned scalar of ``logits = cosine / temperature``; 0 for an image."""
    features: np.ndarray | None = None
    """The last feature map [D, h, w], if it was asked for."""


Outcome = Row | InvalidInput
"""The answer to an item, or why the item cannot be used."""


class Inference:
    """Embeds the items of a request, in requests to tritonserver of one batch each.

    >>> inference = Inference(parts)
    >>> rows = await inference.rows({"align_text": [b"a star"]}, entries)

    Args:
        parts: the gateway's parts that all protocols use.
    """

    def __init__(self, parts: Parts) -> None:
        self._admission, self._upstream, self._supervision = parts[:3]

    async def rows(
        self,
        items: Mapping[str, Sequence[bytes]],
        entries: Mapping[str, Entry],
        *,
        features: bool = False,
    ) -> dict[str, list[Outcome]]:
        """Embed the items of each model; all rows are of one checkpoint.

        Args:
            items: for each model the encoded images, or the texts in UTF-8.
            entries: for each model the entry of the request.
            features: answer an image with its feature map, too.

        Raises:
            Refusal: a model does not answer.
            grpc.aio.AioRpcError: tritonserver answers with an error of its own.
        """
        for _ in range(_TRIES):
            answers = await _together(
                [self._model(model, items[model], entries[model], features) for model in items]
            )
            found = dict(zip(items, answers, strict=True))
            rows = [row for each in answers for row in each if isinstance(row, Row)]
            if len({row.checkpoint for row in rows}) <= 1:
                return found
        raise Refusal(
            Reason.NOT_READY, "server not ready: its checkpoint is being replaced by another one"
        )

    async def _model(
        self, model: str, items: Sequence[bytes], entry: Entry, features: bool
    ) -> list[Outcome]:
        batches = _batches(items, self._admission.batch_size(model))
        answers = await _together([self._batch(model, each, entry, features) for each in batches])
        return [row for each in answers for row in each]

    async def _batch(
        self, model: str, items: Sequence[bytes], entry: Entry, features: bool
    ) -> list[Outcome]:
        """Embed the items of one batch."""
        request = _message(model, items, entry.id, features)
        content = Content(model, entry.id, partial(without_id, request))
        async with self._admission.call(
            model, len(items), len(request), content, held=True
        ) as backend:
            if entry.turn is None:
                entry.its_turn()
            answer = await self._upstream.call_grpc(backend, GRPC_INFER, request, None)
            self._supervision.on_answer(backend, model)
        return _rows(answer, len(items))


async def _together(calls: Sequence[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Return the results of all calls; after the first error the others are cancelled."""
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _batches(items: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    """Yield the items in batches of at most ``size``, with one item beyond _BATCH_BYTES at most."""
    begin, held = 0, 0
    for i, item in enumerate(items):
        if i - begin == size or held > _BATCH_BYTES:
            yield items[begin:i]
            begin, held = i, 0
        held += len(item)
    yield items[begin:]


def _message(model: str, items: Sequence[bytes], id: str, features: bool) -> bytes:
    """Return a serialized ModelInferRequest."""
    message = service_pb2.ModelInferRequest(model_name=model, id=id)
    message.parameters["errors"].string_param = "return"
    message.inputs.add(name=MODELS[model].input, datatype="BYTES", shape=[len(items), 1])
    further = ("FEATURES",) if features and model == "align_image" else ()
    for name in (*_OUTPUTS[model], *further):
        message.outputs.add(name=name)
    parts = [part for item in items for part in (len(item).to_bytes(4, "little"), item)]
    message.raw_input_contents.append(b"".join(parts))
    serialized: bytes = message.SerializeToString()
    return serialized


def _rows(answer: bytes, items: int) -> list[Outcome]:
    """Read a serialized ModelInferResponse."""
    message = service_pb2.ModelInferResponse.FromString(answer)
    found = {
        output.name: contents
        for output, contents in zip(message.outputs, message.raw_output_contents, strict=True)
    }
    vectors = np.frombuffer(found["EMBEDDING"], "<f4").reshape(items, -1)
    errors = [error.decode() for error in deserialize_bytes_tensor(found["ERROR"])]
    # All items have the same string.
    checkpoint = found["CHECKPOINT"][4 : len(found["CHECKPOINT"]) // items].decode()
    tokens = np.frombuffer(found.get("TOKENS", bytes(4 * items)), "<i4").tolist()
    temperatures = np.frombuffer(found.get("TEMPERATURE", bytes(4 * items)), "<f4").tolist()
    maps: Sequence[np.ndarray | None] = [None] * items
    if features := found.get("FEATURES"):
        (shape,) = (output.shape for output in message.outputs if output.name == "FEATURES")
        maps = list(np.frombuffer(features, "<f4").reshape(shape))
    return [
        InvalidInput(error, reason_of(error) or "invalid")
        if error
        else Row(vector, checkpoint, *rest)
        for error, vector, *rest in zip(errors, vectors, tokens, temperatures, maps, strict=True)
    ]
