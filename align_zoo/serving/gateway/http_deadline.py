"""The deadline of an HTTP call, from a header: HTTP has no deadline as gRPC has."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from align_zoo.serving.gateway.journal import shown_id
from align_zoo.serving.gateway.refusal import Reason, Refusal

__all__ = ["deadline"]

_HEADER = "Align-Timeout"


@asynccontextmanager
async def deadline(headers: Mapping[str, str]) -> AsyncIterator[None]:
    """Cancel the block after the seconds of the header ``Align-Timeout``, if the header is given.

    Raises:
        Refusal: EXPIRED: the block was cancelled. MALFORMED: the header is no number of seconds
            above 0.
    """
    seconds = _seconds(headers.get(_HEADER))
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise Refusal(Reason.EXPIRED, f"no answer within {_HEADER}'s {seconds:g} s") from None


def _seconds(header: str | None) -> float | None:
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        shown = shown_id(header)
        raise Refusal(
            Reason.MALFORMED, f"{_HEADER} {shown!r} is no number of seconds above 0, such as 2.5"
        )
    return seconds
