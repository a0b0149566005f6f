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
from align_zoo.serving.triton.texts import DEAD_MODEL, NO_REQUEST

__all__ = ["HttpAnswer", "Upstream", "error_of"]

# What a channel says of a server that has gone; UNAVAILABLE alone may be tritonserver's own.
_BROKEN = re.compile(r"(?i)socket closed|stream removed|connection (reset|refused)|broken pipe")
_NEVER_SENT = re.compile(r"(?i)failed to connect|connection refused")


class HttpAnswer(NamedTuple):
    """What tritonserver's HTTP answered."""

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
        """The answer to a serialized request; cancelling cancels it there, too.

        Raises:
            grpc.aio.AioRpcError: what the backend answered in its place.
        """
        try:
            return await backend.channel.unary_unary(path)(request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            if refusal := self._refusal(backend, error):
                raise refusal from error
            raise
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task and not task.cancelling():  # somebody closed the channel under the call
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
        """The answer to a request for ``path``."""
        try:
            answer = await _request(backend.http, method, path, headers, body)
        except aiohttp.ClientConnectorError as error:
            if not isinstance(error.os_error, (ConnectionRefusedError, FileNotFoundError)):
                raise  # too many open files, or the like, is no fault of the backend
            raise _gone() from error
        except aiohttp.ClientError as error:
            # Not reported: a request that its parser cannot bear must not end the server.
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
        """Its own metrics, in Prometheus' text format; empty if it does not give them at once."""
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
        # Not reported: a server's end is seen by its owner, and a connection's proves nothing.
        return _gone() if _NEVER_SENT.search(words) else _died()


def _answered(backend: Backend, words: str) -> bool:
    connected = backend.channel.get_state() is grpc.ChannelConnectivity.READY
    return connected and not _BROKEN.search(words)


def error_of(body: bytes) -> str:
    """What tritonserver's HTTP says in an answer that is an error; empty if it says nothing."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return ""


async def _request(
    socket: Path, method: str, path: str, headers: Mapping[str, str], body: bytes | None
) -> HttpAnswer:
    # A connection for each: one that was kept could be closed by the other side at this moment,
    # and the request would fail for nothing. To a Unix socket that costs next to nothing.
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
