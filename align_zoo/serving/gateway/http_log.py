"""What aiohttp has to say of requests is counted, not written: its words hold what was sent."""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError

from align_zoo.serving.gateway.journal import Entry, Journal
from align_zoo.serving.gateway.refusal import Reason, internal_error

__all__ = ["http_log"]


def http_log(journal: Journal) -> logging.Logger:
    """A logger for aiohttp's server, of which nothing reaches a log but by the journal."""
    log = logging.Logger("align_zoo.http", logging.DEBUG)  # in no hierarchy: nobody else hears it
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
        elif isinstance(error, Exception) and not isinstance(error, RequestPayloadError):
            # That one is the rest of a body whose request has had its answer.
            self._journal.refused(Entry(), internal_error(error, "").reason)
