"""KServe's protocol over HTTP, and the operator's /metrics and /healthz."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

import grpc
from aiohttp import web

from align_zoo.serving.gateway.allowed import EXTENSIONS, model_of
from align_zoo.serving.gateway.calls import HttpCall, find_http_call
from align_zoo.serving.gateway.http_body import Bodies
from align_zoo.serving.gateway.http_deadline import deadline
from align_zoo.serving.gateway.http_request import JSON_LENGTH, HttpRequest, read_request
from align_zoo.serving.gateway.journal import Entry, fresh_id, shown_id
from align_zoo.serving.gateway.metrics import Metrics
from align_zoo.serving.gateway.parts import Health, Parts
from align_zoo.serving.gateway.refusal import Reason, Refusal, internal_error
from align_zoo.serving.gateway.suspects import Content
from align_zoo.serving.gateway.upstream import HttpAnswer, Upstream, error_of
from align_zoo.serving.routing import Backends, NotServing

__all__ = ["HttpHandler", "metrics_app", "run_to_completion"]

_Result = TypeVar("_Result")
_TASKS: set[asyncio.Task[Any]] = set()
"""The tasks under way: an event loop holds tasks weakly."""
_ID = "Align-Request-Id"
_HEADERS = ("Content-Type", JSON_LENGTH)
# So that one metric counts both protocols.
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}


def healthz(health: Health) -> web.Response:
    """Answer 200 if the service is ready, else 503, with the reasons as JSON."""
    ready, about = health.report()
    return web.json_response(about, status=200 if ready else 503)


def metrics_app(
    backends: Backends, upstream: Upstream, metrics: Metrics, health: Health
) -> web.Application:
    """Make the application of /metrics and /healthz, for a port that only the operator reaches."""

    async def show_metrics(_: web.Request) -> web.Response:
        try:
            with backends.use() as backend:
                theirs = await upstream.read_metrics(backend)
        except NotServing:
            theirs = ""
        return web.Response(
            text=metrics.text() + theirs,
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    async def show_health(_: web.Request) -> web.Response:
        return healthz(health)

    app = web.Application()
    app.add_routes([web.get("/metrics", show_metrics), web.get("/healthz", show_health)])
    return app


async def run_to_completion(
    work: Coroutine[Any, Any, _Result], begun: Callable[[], bool]
) -> _Result:
    """Run ``work`` in a task of its own, so that begun work ends although its caller leaves.

    Args:
        work: if this call is cancelled, begun work continues, and other work is cancelled, too.
        begun: returns whether the work cannot be called off any more.

    Returns:
        The result of ``work``; an error of ``work`` is raised.
    """
    task = asyncio.create_task(work)
    _TASKS.add(task)
    task.add_done_callback(_done)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not begun():
            task.cancel()
            await asyncio.wait({task})  # the work's place is free before the caller ends
        raise


def _done(task: asyncio.Task[Any]) -> None:
    _TASKS.discard(task)
    if not task.cancelled():
        task.exception()  # reads the error, because asyncio reports unread errors


class HttpHandler:
    """Handles all HTTP calls.

    >>> server = HttpServer(HttpHandler(parts, bodies).app(), "http", journal, **settings)

    Args:
        parts: the gateway's parts that both protocols use.
        bodies: reads the bodies of requests.
    """

    def __init__(self, parts: Parts, bodies: Bodies) -> None:
        self._admission, self._upstream, self._supervision = parts[:3]
        self._tokens, self._health, self._journal = parts[3:]
        self._bodies = bodies

    def app(self, others: Iterable[web.RouteDef] = ()) -> web.Application:
        """Make the application of all paths; those of ``others`` have handlers of their own."""
        app = web.Application()
        app.add_routes([*others, web.route("*", "/{path:.*}", self._handle)])
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        entry = Entry(id=shown_id(request.headers.get(_ID, "")) or fresh_id())
        try:
            async with deadline(request.headers):
                response = await self._answer(request, entry)
        except Refusal as refusal:
            response = self._refused(refusal, entry)
        except asyncio.CancelledError:
            self._journal.left(entry)
            raise
        except Exception as error:
            response = self._refused(internal_error(error, entry.id), entry)
        if response.status < 400 or entry.logged:  # else the log does not have the id
            response.headers[_ID] = entry.id
        return response

    async def _answer(self, request: web.Request, entry: Entry) -> web.Response:
        path = request.rel_url.raw_path
        if path == "/healthz":
            return healthz(self._health)
        call = find_http_call(path)
        # A path that answers GET answers HEAD, too; aiohttp omits the body.
        methods = ("GET", "HEAD") if call.method == "GET" else (call.method,)
        if request.method not in methods:
            response = _error(405, f"this wants {call.method}")
            response.headers["Allow"] = ", ".join(methods)
            return response
        if call.kind in ("live", "ready", "model_ready") and not self._health.ready():
            # A service that answers at all is live.
            return web.Response(status=200 if call.kind == "live" else 503)
        if call.kind in ("live", "ready"):
            return web.Response()
        if call.kind != "model_ready":
            self._tokens.check(request.headers.get("Authorization"))
        self._admission.check()
        if call.kind == "infer":
            return _response(await self._infer(request, path, call, entry))
        async with self._admission.call() as backend:
            answer = await self._upstream.call_http(backend, "GET", path, {}, None)
        return _response(_open_only(answer) if call.kind == "server" else answer)

    async def _infer(
        self, request: web.Request, path: str, call: HttpCall, entry: Entry
    ) -> HttpAnswer:
        model_of(call.model)
        entry.model = call.model if self._admission.knows(call.model) else ""
        body = await self._bodies.read(request)
        entry.it_waits()
        asked = read_request(body, request.headers.get(JSON_LENGTH), call.model)
        entry.items = asked.items
        # tritonserver cannot cancel a request over HTTP. A forwarded request keeps its place until
        # it is computed: else abandoned requests would pile up in front of the others.
        answer = await run_to_completion(
            self._ask(path, asked, entry), begun=lambda: entry.turn is not None
        )
        if answer.status == 200:
            self._journal.answered(entry)
        else:
            code = _CODES.get(answer.status, grpc.StatusCode.UNKNOWN)
            self._journal.failed(entry, code.name, error_of(answer.body))
        return answer

    async def _ask(self, path: str, asked: HttpRequest, entry: Entry) -> HttpAnswer:
        headers, size = {JSON_LENGTH: str(asked.json_length)}, len(asked.body)
        content = Content(entry.model, entry.id, asked.without_id)
        async with self._admission.call(entry.model, asked.items, size, content) as backend:
            entry.its_turn()
            answer = await self._upstream.call_http(backend, "POST", path, headers, asked.body)
            if answer.status == 200:
                self._supervision.on_answer(backend, entry.model)
            return answer

    def _refused(self, refusal: Refusal, entry: Entry) -> web.Response:
        self._journal.refused(entry, refusal.reason)
        response = _error(refusal.reason.http, refusal.message)
        response.headers.update(refusal.headers())
        if refusal.reason in (Reason.TOO_LARGE, Reason.TOO_SLOW):
            response.force_close()  # the rest of the body is not read
        return response


def _open_only(answer: HttpAnswer) -> HttpAnswer:
    """Return tritonserver's metadata without the extensions that are closed."""
    if answer.status != 200:
        return answer
    metadata = json.loads(answer.body)
    metadata["extensions"] = [name for name in metadata["extensions"] if name in EXTENSIONS]
    return answer._replace(body=json.dumps(metadata, separators=(",", ":")).encode())


def _response(answer: HttpAnswer) -> web.Response:
    kept = {name: answer.headers[name] for name in _HEADERS if name in answer.headers}
    return web.Response(status=answer.status, headers=kept, body=answer.body)


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)
