"""The page of a service elsewhere: a small server on loopback that passes the calls on."""

from __future__ import annotations

import asyncio
import signal
import webbrowser
from collections.abc import Mapping
from urllib.parse import urlsplit

import aiohttp
import orjson
from aiohttp import web

from align_zoo.errors import AlignZooError
from align_zoo.serving.gateway.refusal import Refusal
from align_zoo.serving.gateway.rest.replies import envelope
from align_zoo.serving.log import write
from align_zoo.web.page import page_routes
from align_zoo.web.same_site import check_site

__all__ = ["serve_page_of"]

_MOST_BYTES = 64 * 2**20
_SENT = ("Accept", "Content-Type")
_RETURNED = ("Content-Type", "Retry-After", "Cache-Control", "Align-Request-Id")


def serve_page_of(
    server: str, *, token: str | None = None, port: int = 0, open_browser: bool = False
) -> None:
    """Serve the page on loopback until Ctrl-C; a service elsewhere answers its calls.

    Args:
        server: the address of the service's HTTP, such as "http://gpu1:8000".
        token: the bearer token, which the browser never gets.
        port: the port of the page; 0 for any free port.
        open_browser: open the page in the user's browser.

    Raises:
        AlignZooError: the address is no URL of HTTP, the service does not answer, or the port is
            taken.
    """
    parts = urlsplit(server if "://" in server else f"http://{server}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AlignZooError(f"--server {server} is no address of HTTP, such as http://gpu1:8000")
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    asyncio.run(_serve(base, headers, port, open_browser))


async def _serve(base: str, headers: Mapping[str, str], port: int, open_browser: bool) -> None:
    async with aiohttp.ClientSession(headers=headers, auto_decompress=False) as session:
        try:
            async with session.get(f"{base}/v1/collection") as answer:
                search = answer.status == 200
        except aiohttp.ClientError as error:
            raise AlignZooError(f"{base} does not answer: {error}") from error
        app = web.Application(client_max_size=_MOST_BYTES)
        passing = _Relay(base, session)
        app.add_routes(page_routes(search=search))
        paths = ("/v1/{path:.*}", "/openapi.json")
        app.add_routes([web.route("*", path, passing.handle) for path in paths])
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", port)
            try:
                await site.start()
            except OSError as error:
                raise AlignZooError(
                    f"cannot listen on port {port}: {error.strerror}; choose another --port"
                ) from error
            host, own = runner.addresses[0][:2]
            write(f"align-zoo: the page is at http://{host}:{own}/")
            if open_browser:
                webbrowser.open(f"http://{host}:{own}/")
            await _signalled()
        finally:
            await runner.cleanup()


async def _signalled() -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()


class _Relay:
    """Passes calls on, with the token."""

    def __init__(self, base: str, session: aiohttp.ClientSession) -> None:
        self._base, self._session = base, session

    async def handle(self, request: web.Request) -> web.Response:
        """Pass a call of the page on, and return the service's answer."""
        try:
            check_site(request, secured=False)  # the token is this server's, not the caller's
        except Refusal as refusal:
            return _error(refusal.reason.http, refusal.message, refusal.reason.label)
        try:
            async with self._session.request(
                request.method,
                f"{self._base}{request.rel_url}",
                data=await request.read(),
                headers=_kept(request.headers, _SENT),
                allow_redirects=False,
            ) as answer:
                body = await answer.read()
                kept = _kept(answer.headers, (*_RETURNED, "Content-Encoding"))
                return web.Response(status=answer.status, body=body, headers=kept)
        except aiohttp.ClientError:
            return _error(502, f"{self._base} does not answer", "not_ready")


def _kept(headers: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {name: headers[name] for name in names if name in headers}


def _error(status: int, message: str, code: str) -> web.Response:
    body = orjson.dumps(envelope(status, message, None, code))
    return web.Response(status=status, body=body, content_type="application/json")
