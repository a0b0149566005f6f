"""HTTP calls of users' tools: access, limits and errors as for every other call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import grpc
import orjson
from aiohttp import web

from align_zoo.serving.gateway.http_body import Bodies
from align_zoo.serving.gateway.http_deadline import deadline
from align_zoo.serving.gateway.journal import Entries, Entry, Journal, fresh_id, shown_id
from align_zoo.serving.gateway.parts import Parts
from align_zoo.serving.gateway.refusal import Reason, Refusal, internal_error
from align_zoo.serving.gateway.rest import replies
from align_zoo.serving.gateway.rest.body import LARGE, read_json
from align_zoo.serving.gateway.rest.embedding_calls import (
    CALLS,
    BadItem,
    EmbeddingCalls,
    check_name,
)
from align_zoo.serving.gateway.rest.inference import Inference, Outcome
from align_zoo.serving.gateway.rest.openapi import document

__all__ = ["Further", "RestHandler"]

_ID = "Align-Request-Id"
_CHECKPOINT = "Align-Checkpoint"
_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.UNAVAILABLE: 503,
}
_MODELS, _MODEL = "/v1/models", "/v1/models/{model}"
_READING = (_MODELS, _MODEL, "/v1/health", "/openapi.json")
_PATHS = (*CALLS, *_READING)


class Further(NamedTuple):
    """A call beside those that embed: of the page, or of another package."""

    method: str
    answer: Callable[[web.Request], Awaitable[web.StreamResponse | dict[str, Any]]]
    """Answers with JSON or with a response; a Refusal is answered in the envelope."""
    operation: dict[str, Any]
    """What the OpenAPI document says of the call."""


_CALL: ContextVar[Entries] = ContextVar("call")
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
        self._embedding_calls = EmbeddingCalls(parts, self._inference, bodies)
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
        return await asyncio.to_thread(read_json, body) if len(body) > LARGE else read_json(body)

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
        entries = Entries(Entry(id=shown_id(request.headers.get(_ID, "")) or fresh_id()))
        _CALL.set(entries)
        try:
            async with deadline(request.headers):
                response = await self._answer(request, entries)
        except Refusal as refusal:
            response = self._refused(refusal, entries)
        except BadItem as bad:
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

    async def _answer(self, request: web.Request, entries: Entries) -> web.StreamResponse:
        path, name = request.path, ""
        if path.startswith(f"{_MODELS}/"):  # a name may have slashes
            path, name = _MODEL, path.removeprefix(f"{_MODELS}/")
        if path not in self._paths():
            raise Refusal(
                Reason.UNKNOWN_CALL, f"there is nothing here; there are {', '.join(self._paths())}"
            )
        further = self._further.get(path)
        posted = path in CALLS or (further is not None and further.method == "POST")
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
                check_name(name, backend.served)
                return _json(replies.model(backend.served))
        if further:
            entries.first.it_waits()
            with self._admission.hold():
                answer = await further.answer(request)
            if entries.models:
                entries.each(self._journal.answered)
            return answer if isinstance(answer, web.StreamResponse) else _json(answer)
        found, checkpoint = await self._embedding_calls.answer(CALLS[path], request, entries)
        return _json(found, headers=None if checkpoint is None else {_CHECKPOINT: checkpoint})

    def _refused(self, refusal: Refusal, entries: Entries) -> web.Response:
        reason = refusal.reason
        entries.each(self._journal.refused, reason)
        response = _error(reason.http, refusal.message, refusal.param, reason.label)
        response.headers.update(refusal.headers())
        if reason in (Reason.TOO_LARGE, Reason.TOO_SLOW):
            response.force_close()  # the rest of the body is not read
        return response


def _error(status: int, message: str, param: str | None, code: str) -> web.Response:
    return _json(replies.envelope(status, message, param, code), status)


def _json(found: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    body = orjson.dumps(found, option=orjson.OPT_SERIALIZE_NUMPY, default=str)
    return web.Response(status=status, body=body, headers=headers, content_type="application/json")
