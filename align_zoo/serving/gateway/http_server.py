"""An HTTP application on a port of its own."""

from __future__ import annotations

import ssl

from aiohttp import web, web_response

from align_zoo.serving.gateway.files import LimitedSocket, share
from align_zoo.serving.gateway.http_log import http_log
from align_zoo.serving.gateway.journal import Journal
from align_zoo.serving.gateway.ports import bound, drop_the_dead

__all__ = ["HttpServer"]

# What aiohttp puts into the header Server: versions by default, also in the answers that it gives
# to what is no HTTP, before any code of ours could change them.
vars(web_response)["SERVER_SOFTWARE"] = "align-zoo"


class HttpServer:
    """Opened once; its certificate can be another later.

    Args:
        app: what answers.
        name: of the port's flag.
        journal: is told of requests that are none.
        files: share of those that the process may open, beyond which nobody is let in.
        last_words: seconds for answers that are ready when it closes.
        silence: seconds after which the other side is asked whether it is still there.
    """

    def __init__(
        self,
        app: web.Application,
        name: str,
        journal: Journal,
        *,
        files: float,
        last_words: float,
        silence: float,
    ) -> None:
        self._name = name
        self._files = files
        self._silence = silence
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=http_log(journal),
            handler_cancellation=True,  # who has gone needs no answer
            keepalive_timeout=75,
            shutdown_timeout=last_words,
        )
        self._socket: LimitedSocket | None = None
        self._site: web.SockSite | None = None

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen, and return the port.

        Raises:
            AlignZooError: it is taken.
        """
        await self._runner.setup()
        self._socket = bound(host, port, self._name, share(self._files))
        drop_the_dead(self._socket, self._silence)
        await self.renew(tls)
        own: int = self._socket.getsockname()[1]
        return own

    async def renew(self, tls: ssl.SSLContext | None) -> None:
        """Meet new connections with this; those that there are go on."""
        assert self._socket is not None, "it is not open"
        before = self._site
        # Both listen for a moment: no connection finds nobody.
        self._site = web.SockSite(self._runner, self._socket.dup(), ssl_context=tls)
        await self._site.start()
        if before:
            await before.stop()

    async def close(self) -> None:
        """Calls under way end."""
        await self._runner.cleanup()
        if self._socket:
            self._socket.close()
