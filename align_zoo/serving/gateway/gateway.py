"""The servers for gRPC, for HTTP and for the operator, in front of the current backend."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

import grpc
from aiohttp import web

from align_zoo.errors import AlignZooError
from align_zoo.serving.gateway.admission import Admission
from align_zoo.serving.gateway.files import share
from align_zoo.serving.gateway.grpc_handler import GrpcHandler
from align_zoo.serving.gateway.http_body import Bodies
from align_zoo.serving.gateway.http_handler import HttpHandler, metrics_app
from align_zoo.serving.gateway.http_server import HttpServer
from align_zoo.serving.gateway.journal import Journal
from align_zoo.serving.gateway.metrics import Metrics
from align_zoo.serving.gateway.options import GatewayOptions
from align_zoo.serving.gateway.parts import Health, Parts
from align_zoo.serving.gateway.ports import address, taken
from align_zoo.serving.gateway.renewal import renewal
from align_zoo.serving.gateway.rest.handler import RestHandler
from align_zoo.serving.gateway.suspects import Suspects
from align_zoo.serving.gateway.tokens import Tokens
from align_zoo.serving.gateway.upstream import Upstream
from align_zoo.serving.routing import Backends, Supervision

__all__ = ["Gateway", "Site"]

_LAST_WORDS_SECONDS = 1.0
"""The time for finished answers to reach their callers when the servers close."""

# Shares of the files that the process may open. HTTP and metrics count all open files: callers that
# exhaust HTTP leave files for the operator, and the rest is for the calls to tritonserver.
_GRPC_FILES = 1 / 4
_HTTP_FILES = 1 / 2
_METRICS_FILES = 3 / 4

_GRPC_OPTIONS = [
    # A second server on the same port would silently receive half of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    # Callers may ping, too, more often than gRPC allows by default.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
]


class Site(NamedTuple):
    """What the port of HTTP serves beside the models."""

    routes: Callable[[RestHandler], Iterable[web.RouteDef]]
    """Returns the routes of files, after it has added its calls to the handler."""
    ready: Callable[[str], None] = lambda address: None
    """Is called with the address of HTTP when the models answer for the first time."""


class Gateway:
    """Answers callers over gRPC and HTTP, and the operator's requests for metrics.

    >>> gateway = Gateway(backends, options, metrics, supervisor)
    >>> await gateway.start()
    >>> print(gateway.addresses())

    Args:
        backends: where calls go.
        options: where to listen, and which callers to accept.
        metrics: the counters.
        supervision: knows the health of the servers, and is notified of answers and deaths.
        suspects: remembers the requests that a server died with; None for the gateway's own.
        site: what else the port of HTTP serves.

    Raises:
        AlignZooError: as ``options.check()``.
    """

    def __init__(
        self,
        backends: Backends,
        options: GatewayOptions,
        metrics: Metrics,
        supervision: Supervision,
        suspects: Suspects | None = None,
        site: Site | None = None,
    ) -> None:
        options.check()
        self._options = options
        self._admission = Admission(backends, options, suspects or Suspects(metrics))
        health = Health(supervision, self._admission)
        metrics.show_live(health.ready, self.waiting, supervision.age)
        upstream = Upstream(supervision)
        self._tokens = Tokens(options.tokens())
        self._journal = journal = Journal(metrics)
        parts = Parts(self._admission, upstream, supervision, self._tokens, health, journal)
        self._grpc_handler = GrpcHandler(parts)
        self._bodies = Bodies(options.max_message_bytes, options.queue_bytes)
        http = HttpHandler(parts, self._bodies)
        rest = RestHandler(parts, self._bodies)
        routes = [*(site.routes(rest) if site else ()), *rest.routes()]
        both = {"last_words": _LAST_WORDS_SECONDS, "silence": options.silence_seconds}
        self._http = HttpServer(http.app(routes), "http", journal, files=_HTTP_FILES, **both)
        operators = metrics_app(backends, upstream, metrics, health)
        self._metrics = HttpServer(operators, "metrics", journal, files=_METRICS_FILES, **both)
        self._grpc: grpc.aio.Server | None = None
        self._new_certificates: deque[grpc.ServerCertificateConfiguration] = deque(maxlen=1)
        self._renewal: asyncio.Task[None] | None = None
        self.grpc_port = options.grpc_port
        """The port of gRPC; if the option is 0, ``start`` sets this port and the other two."""
        self.http_port = options.http_port
        self.metrics_port = options.metrics_port

    def waiting(self, model: str) -> int:
        """Count the requests that wait in a model's queue."""
        return self._admission.waiting(model)

    def addresses(self) -> str:
        """Name the three addresses of the servers, for people."""
        options = self._options
        secured = " with TLS" if options.tls_cert else ""
        return (
            f"{_place(options.listen, self.grpc_port)} (gRPC{secured}), "
            f"{_place(options.listen, self.http_port)} (HTTP{secured}), "
            f"{_place(options.metrics_listen, self.metrics_port)} (metrics)"
        )

    def http_address(self) -> str:
        """Name the address of HTTP, as a browser reads it."""
        scheme = "https" if self._options.tls_cert else "http"
        return f"{scheme}://{_place(self._options.listen, self.http_port)}/"

    async def start(self) -> None:
        """Listen on all three ports.

        Raises:
            AlignZooError: a port is taken; then all three stay closed.
        """
        options = self._options
        try:
            tls = options.tls.for_http() if options.tls else None
            self.http_port = await self._http.open(options.listen, options.http_port, tls)
            self.metrics_port = await self._metrics.open(
                options.metrics_listen, options.metrics_port
            )
            self._grpc = grpc.aio.server(
                handlers=[self._grpc_handler],
                options=[
                    *_GRPC_OPTIONS,
                    ("grpc.keepalive_time_ms", int(1000 * options.silence_seconds)),
                    ("grpc.keepalive_timeout_ms", int(1000 * options.silence_seconds / 3)),
                    # gRPC 1.85 waits this long for the answer, and ignores the line above.
                    ("grpc.http2.ping_timeout_ms", int(1000 * options.silence_seconds / 3)),
                    ("grpc.max_receive_message_length", options.max_message_bytes),
                    ("grpc.max_allowed_incoming_connections", share(_GRPC_FILES)),
                    # More than both queues hold: beyond this number calls wait in the caller,
                    # and are not refused.
                    ("grpc.max_concurrent_streams", 2 * options.queue_size + 1000),
                ],
            )
            self.grpc_port = self._bind(self._grpc)
            await self._grpc.start()
        except AlignZooError:
            await self.stop()
            raise
        if options.secrets:
            self._renewal = asyncio.create_task(renewal(options.secrets, self._renew))

    async def drain(self, seconds: float) -> bool:
        """Refuse new calls; return whether all accepted calls ended within ``seconds``."""
        return await self._admission.drain(seconds)

    async def stop(self) -> None:
        """Close the servers; calls under way end with an error."""
        if self._renewal:
            self._renewal.cancel()
        if self._grpc:
            await self._grpc.stop(_LAST_WORDS_SECONDS)
        await self._http.close()
        await self._metrics.close()
        self._journal.close()

    def _bind(self, server: grpc.aio.Server) -> int:
        host, port = address(self._options.listen), self._options.grpc_port
        where = _place(host, port)
        tls = self._options.tls
        try:
            if not tls:
                return server.add_insecure_port(where)
            credentials = grpc.dynamic_ssl_server_credentials(
                tls.for_grpc(), self._newer_certificates, tls.client_ca is not None
            )
            return server.add_secure_port(where, credentials)
        except RuntimeError as error:
            raise taken(self._options.listen, port, "grpc") from error

    def _newer_certificates(self) -> grpc.ServerCertificateConfiguration | None:
        """Return new certificates, or None for no change.

        gRPC calls this at each new connection, in a thread of its own.
        """
        with suppress(IndexError):
            return self._new_certificates.pop()
        return None

    async def _renew(self) -> None:
        """Use the current content of the files: of all files, or of none if a file is invalid."""
        tokens, tls = self._options.tokens(), self._options.tls
        if tls:
            http, newest = tls.for_http(), tls.for_grpc()
            self._new_certificates.append(newest)
            await self._http.renew(http)
        self._tokens.replace(tokens)


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
