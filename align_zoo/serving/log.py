"""What happens while serving, one JSON object a line on stderr.

A line that cannot be written is lost, and nothing else is.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from datetime import datetime, timezone
from typing import Any

__all__ = ["event", "is_shown", "unhindered", "write"]

_STDERR = 2
_MOST_WAITING = 10_000
_LAST_WORDS_SECONDS = 1.0


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


def is_shown(level: int) -> bool:
    """Whether an event of this level is written."""
    return level >= logging.INFO or os.environ.get("ALIGN_ZOO_LOG", "").lower() == "debug"


def write(line: str) -> None:
    """Write a line, if that can be."""
    if sys.stderr:  # None if it was closed before the start
        with suppress(OSError):
            # One write: lines of different threads stay whole.
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()


@contextmanager
def unhindered() -> Iterator[None]:
    """Within the block nobody who writes to ``sys.stderr`` waits for those who read it.

    It may stand still, as a pager and a container's log do, and an event loop may not.
    Lines for which there is no room are counted: an event "lines_lost" takes their place.
    """
    if not sys.stderr:
        yield
        return
    queue = _Queue()
    try:
        with redirect_stderr(queue):
            yield
    finally:
        queue.finish(_LAST_WORDS_SECONDS)


class _Queue(io.TextIOBase):
    """Keeps what is written until a thread has passed it on to stderr, in its order."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._lost = 0
        self._finished = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._pass_on, daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        with self._changed:
            if len(self._waiting) < _MOST_WAITING:
                self._waiting.append(text)
                self._changed.notify()
            else:
                self._lost += 1
        return len(text)

    def finish(self, timeout: float) -> None:
        """Wait until all has been passed on."""
        with self._changed:
            self._finished = True
            self._changed.notify()
        self._thread.join(timeout)

    def _pass_on(self) -> None:
        while texts := self._take():
            for text in texts:
                # Not by a Python file: at the interpreter's end it must not be locked.
                with suppress(OSError):
                    os.write(_STDERR, text.encode(errors="backslashreplace"))

    def _take(self) -> list[str]:
        """What is to be passed on, as soon as there is something; nothing at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._finished)
            texts = list(self._waiting)
            self._waiting.clear()
            if self._lost:
                line = _line("lines_lost", logging.WARNING, {"count": self._lost})
                texts.append(f"{line}\n")
                self._lost = 0
            return texts


def _line(name: str, level: int, fields: dict[str, Any]) -> str:
    line = {
        "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "level": logging.getLevelName(level).lower(),
        "event": name,
        **fields,
    }
    # Escaped to ASCII: what a caller has sent cannot begin a line of its own.
    return json.dumps(line, default=str)
