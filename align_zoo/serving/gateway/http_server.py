"""An aiohttp application on its own port."""

from __future__ import annotations

import logging
import ssl

from aiohttp import web, web_response
from aiohttp.http_exceptions import HttpProcessingError

from align_zoo.serving.gateway.files import LimitedSocket, share
from align_zoo.serving.gateway.journal import Entry, Journal
from align_zoo.serving.gateway.ports import bound, drop_the_dead
from align_zoo.serving.gateway.refusal import Reason, internal_error

__all__ = ["HttpServer"]

# aiohttp's header Server. By default the header reveals versions, also in aiohttp's own answers to
# invalid HTTP, which no code of ours can change.
vars(web_response)["SERVER_SOFTWARE"] = "align-zoo"


class HttpServer:
    """Serves an application; the certificate can be renewed while the server runs.

    >>> server = HttpServer(app, "http", journal, files=0.5, last_words=1.0, silence=60.0)
    >>> port = await server.open("127.0.0.1", 8000)

    Args:
        app: the application.
        name: the name in the port's flag, as in ``--http-port``.
        journal: counts invalid HTTP.
        files: the share of open files beyond which new connections are closed.
        last_words: seconds for finished answers to reach their callers when the server closes.
        silence: seconds after which a silent connection is probed.
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
            logger=_counting_log(journal),
            handler_cancellation=True,  # a caller that has gone needs no answer
            keepalive_timeout=75,
            shutdown_timeout=last_words,
        )
        self._socket: LimitedSocket | None = None
        self._site: web.SockSite | None = None

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen, and return the port.

        Raises:
            AlignZooError: the port is taken.
        """
        await self._runner.setup()
        self._socket = bound(host, port, self._name, share(self._files))
        drop_the_dead(self._socket, self._silence)
        await self.renew(tls)
        own: int = self._socket.getsockname()[1]
        return own

    async def renew(self, tls: ssl.SSLContext | None) -> None:
        """Use this TLS context for new connections; existing connections continue."""
        assert self._socket is not None, "it is not open"
        before = self._site
        # Both sites listen for a moment, so that no connection is refused.
        self._site = web.SockSite(self._runner, self._socket.dup(), ssl_context=tls)
        await self._site.start()
        if before:
            await before.stop()

    async def close(self) -> None:
        """Close the port, and end the calls under way."""
        await self._runner.cleanup()
        if self._socket:
            self._socket.close()


def _counting_log(journal: Journal) -> logging.Logger:
    """Return a logger for aiohttp's server whose records reach only the journal."""
    # aiohttp's messages quote the request, so they are counted and not written.
    log = logging.Logger("align_zoo.http", logging.DEBUG)  # in no hierarchy: no other handlers
    log.addHandler(_Counted(journal))
    return log


class _Counted(logging.Handler):
    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            self._journal.refused(Entry(), Reason.MALFORMED)
        elif isinstance(error, Exception) and not isinstance(error, web.RequestPayloadError):
            # A RequestPayloadError is the rest of a body whose request is already answered.
            self._journal.refused(Entry(), internal_error(error, "").reason)
