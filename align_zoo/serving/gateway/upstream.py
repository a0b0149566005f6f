"""Calls to a backend, and how to distinguish its answers from its death."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import aiohttp
import grpc
from yarl import URL

from align_zoo.serving.gateway.refusal import Reason, Refusal
from align_zoo.serving.routing import Backend, Supervision
from align_zoo.serving.triton.messages import DEAD_MODEL, NO_REQUEST

__all__ = ["HttpAnswer", "Upstream", "error_of"]

# A channel's messages about a server that has gone; UNAVAILABLE alone may be tritonserver's own.
_BROKEN = re.compile(r"(?i)socket closed|stream removed|connection (reset|refused)|broken pipe")
_NEVER_SENT = re.compile(r"(?i)failed to connect|connection refused")


class HttpAnswer(NamedTuple):
    """An answer of tritonserver over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Upstream:
    """Calls backends, and reports a model's death to the supervisor.

    If the backend gives no answer of its own, :meth:`call_grpc` and :meth:`call_http` raise a
    Refusal: DIED if the backend may have worked on the request, NOT_READY if the backend never
    received the request.

    Args:
        supervision: is notified of deaths.
    """

    def __init__(self, supervision: Supervision) -> None:
        self._supervision = supervision

    async def call_grpc(
        self, backend: Backend, path: str, request: bytes, seconds: float | None
    ) -> bytes:
        """Return the answer to a serialized request; a cancellation reaches the backend, too.

        Raises:
            grpc.aio.AioRpcError: the backend answered with an error.
        """
        try:
            return await backend.channel.unary_unary(path)(request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            if refusal := self._refusal(backend, error):
                raise refusal from error
            raise
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task and not task.cancelling():  # the channel was closed during the call
                raise _died() from None
            raise

    async def call_http(
        self,
        backend: Backend,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> HttpAnswer:
        """Return the answer to a request for ``path``."""
        try:
            answer = await _request(backend.http, method, path, headers, body)
        except aiohttp.ClientConnectorError as error:
            if not isinstance(error.os_error, (ConnectionRefusedError, FileNotFoundError)):
                raise  # for example too many open files, which is no fault of the backend
            raise _gone() from error
        except aiohttp.ClientError as error:
            # Not reported as a death: a request that breaks its parser must not end the server.
            raise _died() from error
        if answer.status == 500:
            words = error_of(answer.body)
            if dead := DEAD_MODEL.pattern.search(words):
                self._supervision.on_death(backend, "a model's process has died", dead["model"])
                raise _died()
            if NO_REQUEST.pattern.match(words):
                return answer._replace(status=400)
        return answer

    async def read_metrics(self, backend: Backend) -> str:
        """Return the backend's metrics in Prometheus' text format; empty without a quick answer."""
        try:
            async with asyncio.timeout(2):
                answer = await _request(backend.metrics, "GET", "/metrics", {}, None)
        except (aiohttp.ClientError, TimeoutError):
            return ""
        return answer.body.decode() if answer.status == 200 else ""

    def _refusal(self, backend: Backend, error: grpc.aio.AioRpcError) -> Refusal | None:
        code, words = error.code(), error.details() or ""
        if code is grpc.StatusCode.INTERNAL and (dead := DEAD_MODEL.pattern.search(words)):
            self._supervision.on_death(backend, "a model's process has died", dead["model"])
            return _died()
        if code is not grpc.StatusCode.UNAVAILABLE or _answered(backend, words):
            return None
        # Not reported: the supervisor sees a server's end, and a broken connection proves nothing.
        return _gone() if _NEVER_SENT.search(words) else _died()


def _answered(backend: Backend, words: str) -> bool:
    connected = backend.channel.get_state() is grpc.ChannelConnectivity.READY
    return connected and not _BROKEN.search(words)


def error_of(body: bytes) -> str:
    """Return the message of an error answer of tritonserver's HTTP; empty without a message."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return ""


async def _request(
    socket: Path, method: str, path: str, headers: Mapping[str, str], body: bytes | None
) -> HttpAnswer:
    # A new connection for each request: the server could close a kept connection at this moment,
    # and the request would fail without need. A Unix socket's connection costs very little.
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(path=str(socket), force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
        ) as session,
        session.request(
            method,
            URL.build(scheme="http", host="localhost", path=path, encoded=True),
            headers={"Accept-Encoding": "identity", **headers},
            data=body,
        ) as answer,
    ):
        return HttpAnswer(answer.status, answer.headers, await answer.read())


def _died() -> Refusal:
    return Refusal(Reason.DIED, "server restarted: it died while it worked on this request")


def _gone() -> Refusal:
    return Refusal(Reason.NOT_READY, "server not ready: it is restarting")
