"""The service's log: events as JSON objects, one per line, on stderr.

A line that cannot be written is lost; nothing else is affected.
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
    """Write one line if possible: time (ISO 8601, UTC), level, event, and ``fields``.

    Args:
        name: the event's name, such as "restart".
        level: a level of ``logging``; events below INFO need ALIGN_ZOO_LOG=debug.
        fields: JSON values; other values are written as their ``str``.
    """
    if not is_shown(level):
        return
    write(_line(name, level, fields))


def is_shown(level: int) -> bool:
    """Return whether an event of this level is written."""
    return level >= logging.INFO or os.environ.get("ALIGN_ZOO_LOG", "").lower() == "debug"


def write(line: str) -> None:
    """Write a line if possible."""
    if sys.stderr:  # None if it was closed before the start
        with suppress(OSError):
            # One write: lines of different threads stay whole.
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()


@contextmanager
def unhindered() -> Iterator[None]:
    """Let writes to ``sys.stderr`` in the block return at once, however slow its reader is.

    A pager or a container's log may stop reading, and an event loop must not wait for it.
    Lines beyond the queue's bound are counted: an event "lines_lost" takes their place.
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
    """Keeps written text until a thread has passed the text on to stderr, in order."""

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
        """Wait until all text has been passed on."""
        with self._changed:
            self._finished = True
            self._changed.notify()
        self._thread.join(timeout)

    def _pass_on(self) -> None:
        while texts := self._take():
            for text in texts:
                # Not by a Python file, whose lock could be held at the interpreter's end.
                with suppress(OSError):
                    os.write(_STDERR, text.encode(errors="backslashreplace"))

    def _take(self) -> list[str]:
        """Wait for text, and return all of it; return an empty list at the end."""
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
    # Escaped to ASCII: a caller's text cannot begin a line of its own.
    return json.dumps(line, default=str)
