"""The last resort: an error of our own becomes an answer, and a line in the log."""

from __future__ import annotations

import logging
import traceback

from align_zoo.serving.gateway.refusal import Reason, Refusal
from align_zoo.serving.log import event

__all__ = ["internal_error"]


def internal_error(error: Exception, id: str) -> Refusal:
    """What the caller gets; where it happened is logged, not what the request held."""
    name = type(error).__name__
    event(
        "internal_error",
        level=logging.ERROR,
        id=id,
        error=name,
        where=traceback.format_tb(error.__traceback__),
    )
    return Refusal(Reason.INTERNAL, f"internal error ({name})")
