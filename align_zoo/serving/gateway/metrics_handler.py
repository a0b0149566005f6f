"""The operator's application: /metrics, ours and tritonserver's together, and /healthz."""

from __future__ import annotations

from aiohttp import web

from align_zoo.serving.gateway.health import Health
from align_zoo.serving.gateway.http_handler import healthz
from align_zoo.serving.gateway.metrics import Metrics
from align_zoo.serving.gateway.upstream import Upstream
from align_zoo.serving.routing import Backends, NotServing

__all__ = ["metrics_app"]


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
