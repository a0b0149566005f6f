"""What happens while serving, one JSON object a line on stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import datetime, timezone
from typing import Any

__all__ = ["event", "is_shown"]


def event(name: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Write one line: time (ISO 8601, UTC), level, event, and ``fields``.

    Args:
        name: what has happened, "restart".
        level: as of ``logging``; what is below INFO is written only if ALIGN_ZOO_LOG is "debug".
        fields: what JSON can hold; anything else as its ``str``.
    """
    if not is_shown(level):
        return
    line = {
        "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "level": logging.getLevelName(level).lower(),
        "event": name,
        **fields,
    }
    # One write: lines of Triton, on the same stderr, stay whole lines beside ours. Escaped to
    # ASCII: what a caller has sent cannot begin a line of its own.
    sys.stderr.write(json.dumps(line, default=str) + "\n")
    sys.stderr.flush()


def is_shown(level: int) -> bool:
    """Whether an event of this level is written."""
    return level >= logging.INFO or os.environ.get("ALIGN_ZOO_LOG", "").lower() == "debug"
