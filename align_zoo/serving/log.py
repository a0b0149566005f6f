"""What happens while serving, one JSON object a line on stderr."""

from __future__ import annotations

import json
import logging
import os
from datetime import datetime, timezone
from typing import Any

from align_zoo.serving.stderr import write

__all__ = ["event", "is_shown", "lines_lost"]


def event(name: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Write one line, if that can be: time (ISO 8601, UTC), level, event, and ``fields``.

    Args:
        name: what has happened, "restart".
        level: as of ``logging``; what is below INFO is written only if ALIGN_ZOO_LOG is "debug".
        fields: what JSON can hold; anything else as its ``str``.
    """
    if not is_shown(level):
        return
    write(_line(name, level, fields))


def lines_lost(count: int) -> str:
    """The line that takes the place of so many, which nobody read in time."""
    return _line("lines_lost", logging.WARNING, {"count": count})


def is_shown(level: int) -> bool:
    """Whether an event of this level is written."""
    return level >= logging.INFO or os.environ.get("ALIGN_ZOO_LOG", "").lower() == "debug"


def _line(name: str, level: int, fields: dict[str, Any]) -> str:
    line = {
        "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "level": logging.getLevelName(level).lower(),
        "event": name,
        **fields,
    }
    # Escaped to ASCII: what a caller has sent cannot begin a line of its own.
    return json.dumps(line, default=str)
