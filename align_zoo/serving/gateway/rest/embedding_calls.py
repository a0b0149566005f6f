"""Answers the calls that embed: from the body of a request to the answer in the caller's shape."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from aiohttp import web

from align_zoo.errors import CheckpointError, InvalidInput
from align_zoo.serving.gateway.http_body import Bodies
from align_zoo.serving.gateway.journal import Entries, shown_id
from align_zoo.serving.gateway.parts import Parts
from align_zoo.serving.gateway.refusal import Reason, Refusal
from align_zoo.serving.gateway.rest import questions, replies, spellings
from align_zoo.serving.gateway.rest.asked import Asked
from align_zoo.serving.gateway.rest.body import LARGE, malformed, read_json
from align_zoo.serving.gateway.rest.inference import Inference, Outcome, Row
from align_zoo.serving.gateway.rest.items import content
from align_zoo.serving.gateway.rest.replies import Answered
from align_zoo.serving.routing import Served

__all__ = ["CALLS", "BadItem", "EmbeddingCalls", "check_name"]

_MANY = 64
"""The items of a request whose answer is made in a thread: many labels of many images take 1 s."""


class Call(NamedTuple):
    """A call that embeds."""

    read: Callable[[Any], Asked]
    reply: Callable[[Asked, Answered, Served, str], dict[str, Any]]


CALLS = {
    "/v1/embeddings": Call(spellings.openai, replies.as_openai),
    "/v1/classify": Call(questions.classify, replies.classified),
    "/v1/heatmap": Call(questions.heatmap, replies.as_heatmap),
    "/v2/embed": Call(spellings.cohere, replies.as_cohere),
}
"""By the path of a call."""


class BadItem(Exception):
    """An item cannot be used, and the request asks for no errors in the places of items."""

    def __init__(self, asked: Asked, place: int, error: InvalidInput) -> None:
        super().__init__(str(error))
        self.found = replies.item_error(asked, place, error)


class EmbeddingCalls:
    """Answers the calls that embed.

    >>> calls = EmbeddingCalls(parts, Inference(parts), bodies)
    >>> found, checkpoint = await calls.answer(CALLS["/v1/embeddings"], request, entries)

    Args:
        parts: the gateway's parts that all protocols use.
        inference: embeds the items.
        bodies: reads the bodies of requests.
    """

    def __init__(self, parts: Parts, inference: Inference, bodies: Bodies) -> None:
        self._admission, self._journal = parts.admission, parts.journal
        self._inference = inference
        self._bodies = bodies

    async def answer(
        self, call: Call, request: web.Request, entries: Entries
    ) -> tuple[dict[str, Any], str | None]:
        """Return the answer, and the fingerprint of the checkpoint that computed its rows.

        Args:
            call: one of ``CALLS``.
            request: the request, whose body is still to be read.
            entries: the journal's entries of the request; the answer is noted there.

        Raises:
            Refusal: the request is not accepted, or a model does not answer.
            BadItem: an item cannot be used.
            grpc.aio.AioRpcError: tritonserver answers with an error of its own.
        """
        body = await self._bodies.read(request)
        entries.first.it_waits()
        if len(body) > LARGE:  # the event loop goes on between the slices of base64
            asked, contents = await asyncio.to_thread(_read, call, body)
        else:
            asked, contents = _read(call, body)
        del body  # the contents have it
        with self._admission.hold() as backend:
            _check(asked, backend.served)
            if asked.shares:
                await _check_layout(backend.served)
            outcomes = await self._outcomes(asked, contents, entries)
            whole = asked, _answered(asked, outcomes), backend.served, entries.first.id
            many = len(asked.items) > _MANY
            found = await asyncio.to_thread(call.reply, *whole) if many else call.reply(*whole)
        for model, entry in entries.models.items():
            kinds = zip(asked.items, outcomes, strict=True)
            entry.items = sum(isinstance(r, Row) and model.endswith(i.kind) for i, r in kinds)
        entries.each(self._journal.answered)
        rows = [row for row in outcomes if isinstance(row, Row)]
        return found, rows[0].checkpoint if rows else None

    async def _outcomes(
        self, asked: Asked, contents: Sequence[bytes | InvalidInput], entries: Entries
    ) -> list[Outcome]:
        """Ask the models for the rows of all items with contents."""
        sent: dict[str, list[bytes]] = {}
        for item, found in zip(asked.items, contents, strict=True):
            if isinstance(found, bytes):
                sent.setdefault(f"align_{item.kind}", []).append(found)
        for model, items in sent.items():
            entries.add(model, len(items))
        features = asked.shares is not None
        answers = await self._inference.rows(sent, entries.models, features=features)
        rows = {model: iter(found) for model, found in answers.items()}
        return [
            next(rows[f"align_{item.kind}"]) if isinstance(found, bytes) else found
            for item, found in zip(asked.items, contents, strict=True)
        ]


def _check(asked: Asked, served: Served) -> None:
    """Return if the served checkpoint is the one that the request asks for."""
    if asked.model is not None:
        check_name(asked.model, served)
    if asked.width and asked.width[1] != served.width:
        field, width = asked.width
        raise malformed(f"{field} is {width}, but the checkpoint has {served.width}", field)


def check_name(name: str, served: Served) -> None:
    """Return if the served model has this name."""
    if name != served.name:
        raise Refusal(
            Reason.UNKNOWN_MODEL,
            f"the model {shown_id(name)!r} is not served here: it is {served.name!r}",
            param="model",
        )


async def _check_layout(served: Served) -> None:
    """Return if a heat map can be made of what the served checkpoint answers with.

    Raises:
        Refusal: MALFORMED; it cannot, and the message says why.
    """
    try:
        # In a thread: the first time, files of the checkpoint are read.
        layout = await asyncio.to_thread(served.read_layout)
        layout.check()
    except (CheckpointError, InvalidInput) as error:
        raise malformed(str(error)) from None
    if layout.transform.size is None:
        raise malformed(
            "this checkpoint does not resize images, so the places of a heat map depend on the "
            "image's size, which is not read here: use `align-zoo explain`"
        )


def _read(call: Call, body: bytes) -> tuple[Asked, list[bytes | InvalidInput]]:
    """Read a body; return what is asked, and the bytes of each item, or why there are none."""
    asked = call.read(read_json(body))
    contents: list[bytes | InvalidInput] = []
    for i, item in enumerate(asked.items):
        try:
            contents.append(content(item))
        except InvalidInput as error:
            if not asked.keep:
                raise BadItem(asked, i, error) from None
            contents.append(error)
        if item.kind == "image":
            asked.items[i] = item._replace(value="")  # its base64 would wait in the queue, too
    return asked, contents


def _answered(asked: Asked, outcomes: Sequence[Outcome]) -> Answered:
    """Return the answers to all items.

    Raises:
        BadItem: an item cannot be used, and may not have its error in its place.
    """
    for i, row in enumerate(outcomes):
        # A classification without one of its labels would be another one.
        of_label = asked.labels is not None and asked.items[i].kind == "text"
        if isinstance(row, InvalidInput) and (of_label or not asked.keep):
            raise BadItem(asked, i, row)
    rows = [row for row in outcomes if isinstance(row, Row)]
    return Answered(
        [row.vector if isinstance(row, Row) else row for row in outcomes],
        tokens=sum(row.tokens for row in rows),
        temperature=max((row.temperature for row in rows), default=0.0),
        features=next((row.features for row in rows if row.features is not None), None),
    )
