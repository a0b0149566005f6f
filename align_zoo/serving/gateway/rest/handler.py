"""HTTP calls of users' tools: access, limits and errors as for every other call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc
import orjson
from aiohttp import web

from align_zoo.errors import CheckpointError, InvalidInput
from align_zoo.serving.gateway.http_body import Bodies
from align_zoo.serving.gateway.http_deadline import deadline
from align_zoo.serving.gateway.journal import Entry, Journal, fresh_id, shown_id
from align_zoo.serving.gateway.parts import Parts
from align_zoo.serving.gateway.refusal import Reason, Refusal, internal_error
from align_zoo.serving.gateway.rest import replies, spellings
from align_zoo.serving.gateway.rest.body import malformed, read_json
from align_zoo.serving.gateway.rest.inference import Inference, Outcome, Row
from align_zoo.serving.gateway.rest.items import content
from align_zoo.serving.gateway.rest.openapi import document
from align_zoo.serving.gateway.rest.replies import Answered
from align_zoo.serving.gateway.rest.spellings import Asked
from align_zoo.serving.routing import Served

__all__ = ["Further", "RestHandler"]

_ID = "Align-Request-Id"
_CHECKPOINT = "Align-Checkpoint"
_LARGE = 2**18
"""The bytes of a body that is read in a thread, because it takes milliseconds."""
_MANY = 64
"""The items of a request whose answer is made in a thread: many labels of many images take 1 s."""
_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.UNAVAILABLE: 503,
}


class _Call(NamedTuple):
    """A call that embeds."""

    read: Callable[[Any], Asked]
    reply: Callable[[Asked, Answered, Served, str], dict[str, Any]]


_EMBEDDING = {
    "/v1/embeddings": _Call(spellings.openai, replies.as_openai),
    "/v1/classify": _Call(spellings.classify, replies.classified),
    "/v1/heatmap": _Call(spellings.heatmap, replies.as_heatmap),
    "/v2/embed": _Call(spellings.cohere, replies.as_cohere),
}
_MODELS, _MODEL = "/v1/models", "/v1/models/{model}"
_READING = (_MODELS, _MODEL, "/v1/health", "/openapi.json")
_PATHS = (*_EMBEDDING, *_READING)


class Further(NamedTuple):
    """A call beside those that embed: of the page, or of another package."""

    method: str
    answer: Callable[[web.Request], Awaitable[web.StreamResponse | dict[str, Any]]]
    """Answers with JSON or with a response; a Refusal is answered in the envelope."""
    operation: dict[str, Any]
    """What the OpenAPI document says of the call."""


class _BadItem(Exception):
    """An item cannot be used, and the request asks for no errors in the places of items."""

    def __init__(self, asked: Asked, place: int, error: InvalidInput) -> None:
        super().__init__(str(error))
        self.found = replies.item_error(asked, place, error)


@dataclass
class _Entries:
    """The journal's entries of a request: one for each model that it asks, once that is known."""

    first: Entry
    models: dict[str, Entry] = field(default_factory=dict)

    def add(self, model: str, items: int) -> None:
        """Note that the request asks a model; it may do so several times."""
        first = self.first
        if model in self.models:
            self.models[model].items += items
        else:
            self.models[model] = Entry(first.id, model, items, first.begin, first.whole)

    def each(self, note: Callable[..., None], *details: Any) -> None:
        """Call a method of the journal with each entry."""
        for entry in self.models.values() or [self.first]:
            note(entry, *details)
            self.first.logged |= entry.logged


_CALL: ContextVar[_Entries] = ContextVar("call")
"""The entries of the call that is being answered, in its task and in the threads of its work."""


class RestHandler:
    """Handles the calls of ``/v1``, ``/v2/embed`` and ``/openapi.json``.

    >>> app = HttpHandler(parts, bodies).app(RestHandler(parts, bodies).routes())

    Args:
        parts: the gateway's parts that all protocols use.
        bodies: reads the bodies of requests.
    """

    def __init__(self, parts: Parts, bodies: Bodies) -> None:
        self._admission, self._tokens, self._health = parts.admission, parts.tokens, parts.health
        self._journal: Journal = parts.journal
        self._inference = Inference(parts)
        self._bodies = bodies
        self._further: dict[str, Further] = {}

    def add(self, path: str, further: Further) -> None:
        """Answer one more path; tokens and limits hold for it, too."""
        self._further[path] = further

    @property
    def wants_token(self) -> bool:
        """Whether a call needs a token."""
        return bool(self._tokens)

    async def read(self, request: web.Request) -> Any:
        """Read the JSON of a request's body, within the limits of all bodies."""
        body = await self._bodies.read(request)
        return await asyncio.to_thread(read_json, body) if len(body) > _LARGE else read_json(body)

    async def embed(self, model: str, items: Sequence[bytes]) -> list[Outcome]:
        """Embed encoded images or texts, through the queue; a bad item has its error in its place.

        For the work of a further call, whose outcome is noted with the models that it asks.

        Raises:
            Refusal: the model does not answer.
            grpc.aio.AioRpcError: tritonserver answers with an error of its own.
        """
        entries = _CALL.get()
        entries.add(model, len(items))
        return (await self._inference.rows({model: items}, entries.models))[model]

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of all calls; what else is below ``/v1`` is refused in the envelope."""
        return [web.route("*", path, self._handle) for path in (*self._paths(), "/v1/{path:.*}")]

    def _paths(self) -> Sequence[str]:
        return (*_PATHS, *self._further)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        entries = _Entries(Entry(id=shown_id(request.headers.get(_ID, "")) or fresh_id()))
        _CALL.set(entries)
        try:
            async with deadline(request.headers):
                response = await self._answer(request, entries)
        except Refusal as refusal:
            response = self._refused(refusal, entries)
        except _BadItem as bad:
            entries.each(self._journal.failed, "INVALID_ARGUMENT", str(bad))
            response = _json({"error": bad.found}, 400)
        except grpc.aio.AioRpcError as error:
            code, message = error.code(), error.details() or ""
            entries.each(self._journal.failed, code.name, message)
            response = _error(_STATUS.get(code, 500), message, None, "answer")
        except asyncio.CancelledError:
            entries.each(self._journal.left)
            raise
        except Exception as error:
            response = self._refused(internal_error(error, entries.first.id), entries)
        if response.status < 400 or entries.first.logged:  # else the log does not have the id
            response.headers[_ID] = entries.first.id
        return response

    async def _answer(self, request: web.Request, entries: _Entries) -> web.StreamResponse:
        path, name = request.path, ""
        if path.startswith(f"{_MODELS}/"):  # a name may have slashes
            path, name = _MODEL, path.removeprefix(f"{_MODELS}/")
        if path not in self._paths():
            raise Refusal(
                Reason.UNKNOWN_CALL, f"there is nothing here; there are {', '.join(self._paths())}"
            )
        further = self._further.get(path)
        posted = path in _EMBEDDING or (further is not None and further.method == "POST")
        methods = ("POST",) if posted else ("GET", "HEAD")
        if request.method not in methods:
            response = _error(405, f"{path} wants {methods[0]}", None, "method")
            response.headers["Allow"] = ", ".join(methods)
            return response
        if path == "/openapi.json":
            return _json(document({path: each.operation for path, each in self._further.items()}))
        if path == "/v1/health":  # infinity's client asks it before each call
            ready, about = self._health.report()
            return _json(about, 200 if ready else 503)
        self._tokens.check(request.headers.get("Authorization"))
        self._admission.check()
        if path in (_MODELS, _MODEL):
            with self._admission.hold() as backend:
                if path == _MODELS:
                    return _json(replies.models(backend.served))
                _check_name(name, backend.served)
                return _json(replies.model(backend.served))
        if further:
            entries.first.it_waits()
            with self._admission.hold():
                answer = await further.answer(request)
            if entries.models:
                entries.each(self._journal.answered)
            return answer if isinstance(answer, web.StreamResponse) else _json(answer)
        call = _EMBEDDING[path]
        body = await self._bodies.read(request)
        entries.first.it_waits()
        if len(body) > _LARGE:  # the event loop goes on between the slices of base64
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
        return _json(found, headers={_CHECKPOINT: rows[0].checkpoint} if rows else None)

    async def _outcomes(
        self, asked: Asked, contents: Sequence[bytes | InvalidInput], entries: _Entries
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

    def _refused(self, refusal: Refusal, entries: _Entries) -> web.Response:
        reason = refusal.reason
        entries.each(self._journal.refused, reason)
        response = _error(reason.http, refusal.message, refusal.param, reason.label)
        response.headers.update(refusal.headers())
        if reason in (Reason.TOO_LARGE, Reason.TOO_SLOW):
            response.force_close()  # the rest of the body is not read
        return response


def _check(asked: Asked, served: Served) -> None:
    """Return if the served checkpoint is the one that the request asks for."""
    if asked.model is not None:
        _check_name(asked.model, served)
    if asked.width and asked.width[1] != served.width:
        field, width = asked.width
        raise malformed(f"{field} is {width}, but the checkpoint has {served.width}", field)


def _check_name(name: str, served: Served) -> None:
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


def _read(call: _Call, body: bytes) -> tuple[Asked, list[bytes | InvalidInput]]:
    """Read a body; return what is asked, and the bytes of each item, or why there are none."""
    asked = call.read(read_json(body))
    contents: list[bytes | InvalidInput] = []
    for i, item in enumerate(asked.items):
        try:
            contents.append(content(item))
        except InvalidInput as error:
            if not asked.keep:
                raise _BadItem(asked, i, error) from None
            contents.append(error)
        if item.kind == "image":
            asked.items[i] = item._replace(value="")  # its base64 would wait in the queue, too
    return asked, contents


def _answered(asked: Asked, outcomes: Sequence[Outcome]) -> Answered:
    """Return the answers to all items.

    Raises:
        _BadItem: an item cannot be used, and may not have its error in its place.
    """
    for i, row in enumerate(outcomes):
        # A classification without one of its labels would be another one.
        of_label = asked.labels is not None and asked.items[i].kind == "text"
        if isinstance(row, InvalidInput) and (of_label or not asked.keep):
            raise _BadItem(asked, i, row)
    rows = [row for row in outcomes if isinstance(row, Row)]
    return Answered(
        [row.vector if isinstance(row, Row) else row for row in outcomes],
        tokens=sum(row.tokens for row in rows),
        temperature=max((row.temperature for row in rows), default=0.0),
        features=next((row.features for row in rows if row.features is not None), None),
    )


def _error(status: int, message: str, param: str | None, code: str) -> web.Response:
    return _json(replies.envelope(status, message, param, code), status)


def _json(found: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    body = orjson.dumps(found, option=orjson.OPT_SERIALIZE_NUMPY, default=str)
    return web.Response(status=status, body=body, headers=headers, content_type="application/json")
