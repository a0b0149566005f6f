"""The doors of the service: gRPC, HTTP and the operator's port, in front of the backend of now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from aiohttp import web

from align_zoo.errors import AlignZooError
from align_zoo.serving.backends import Backends
from align_zoo.serving.gateway.admission import Admission
from align_zoo.serving.gateway.grpc_front import GrpcFront
from align_zoo.serving.gateway.health import Health
from align_zoo.serving.gateway.http_front import HttpFront
from align_zoo.serving.gateway.journal import Journal
from align_zoo.serving.gateway.metrics import Metrics
from align_zoo.serving.gateway.metrics_front import metrics_app
from align_zoo.serving.gateway.options import GatewayOptions
from align_zoo.serving.gateway.upstream import Upstream

__all__ = ["Gateway"]

_LAST_WORDS_SECONDS = 1.0
"""For answers that are ready to reach their callers when the doors close."""

_GRPC_OPTIONS = [
    # A second server on the same port would get half of the calls, and nobody would know.
    ("grpc.so_reuseport", 0),
    # Callers that have gone without a word: asked after a minute, dropped 20 seconds later.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Callers may ask as well, more often than gRPC allows by itself.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
]


class Gateway:
    """Answers callers.

    Args:
        backends: where calls go, told by whoever starts the servers.
        options: where to listen, and whom to let in.
        metrics: what to count in; its ``ready`` and ``waiting`` are set here.
        health: readiness and a JSON-able dictionary for /healthz, asked for each time anew.

    Raises:
        AlignZooError: as ``options.check()``.
    """

    def __init__(
        self,
        backends: Backends,
        options: GatewayOptions,
        metrics: Metrics,
        health: Callable[[], tuple[bool, dict[str, Any]]],
    ) -> None:
        options.check()
        self._options = options
        self._admission = Admission(backends, options)
        asked = Health(health, self._admission)
        metrics.ready = asked.ready
        metrics.waiting = self._admission.waiting
        upstream = Upstream(backends)
        doors = self._admission, upstream, options.tokens(), asked, Journal(metrics)
        self._grpc_front = GrpcFront(*doors)
        http = HttpFront(*doors, max_bytes=options.max_message_bytes)
        self._http = _runner(http.app())
        self._metrics = _runner(metrics_app(backends, upstream, metrics, asked))
        self._grpc: grpc.aio.Server | None = None
        self.grpc_port = options.grpc_port
        """The one that is listened on, as the other two: known after ``start`` if it was 0."""
        self.http_port = options.http_port
        self.metrics_port = options.metrics_port

    async def start(self) -> None:
        """Listen on all three ports.

        Raises:
            AlignZooError: one of them is taken; then on none.
        """
        options = self._options
        tls = options.tls
        try:
            self.http_port = await _listen(
                self._http, options.listen, options.http_port, "http", tls and tls.for_http()
            )
            self.metrics_port = await _listen(
                self._metrics, options.metrics_listen, options.metrics_port, "metrics", None
            )
            self._grpc = grpc.aio.server(
                handlers=[self._grpc_front],
                options=[
                    *_GRPC_OPTIONS,
                    ("grpc.max_receive_message_length", options.max_message_bytes),
                    # More than both queues hold: beyond it calls wait in the caller, unrefused.
                    ("grpc.max_concurrent_streams", 2 * options.queue_size + 1000),
                ],
            )
            self.grpc_port = self._bind(self._grpc)
            await self._grpc.start()
        except AlignZooError:
            await self.stop()
            raise

    async def drain(self, seconds: float) -> bool:
        """Refuse new calls from now on; whether all that were taken ended within ``seconds``."""
        return await self._admission.drain(seconds)

    async def stop(self) -> None:
        """Close the doors; calls under way end with an error."""
        if self._grpc:
            await self._grpc.stop(_LAST_WORDS_SECONDS)
        await self._http.cleanup()
        await self._metrics.cleanup()

    def _bind(self, server: grpc.aio.Server) -> int:
        host, port = _address(self._options.listen), self._options.grpc_port
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if self._options.tls:
                return server.add_secure_port(where, self._options.tls.for_grpc())
            return server.add_insecure_port(where)
        except RuntimeError as error:
            raise _taken(self._options.listen, port, "grpc") from error


def _runner(app: web.Application) -> web.AppRunner:
    return web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,  # who has gone needs no answer
        keepalive_timeout=75,
        shutdown_timeout=_LAST_WORDS_SECONDS,
    )


async def _listen(runner: web.AppRunner, host: str, port: int, name: str, tls: Any) -> int:
    await runner.setup()
    try:
        await web.TCPSite(runner, _address(host), port, ssl_context=tls).start()
    except OSError as error:
        raise _taken(host, port, name) from error
    return runner.addresses[0][1]


def _address(host: str) -> str:
    # One address: of a name's two, gRPC is content with the one that is not taken.
    return "127.0.0.1" if host == "localhost" else host


def _taken(host: str, port: int, name: str) -> AlignZooError:
    return AlignZooError(
        f"cannot listen on {host}:{port}: the port is taken, or the address is not this machine's; "
        f"end what listens there or choose another --{name}-port"
    )
