"""What a tritonserver prints: passed on, and read for what went wrong."""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from collections.abc import Sequence

from align_zoo.serving.stderr import write

__all__ = ["Relay", "died_while_it_loaded", "last_words", "why_not_loaded"]


class Relay:
    """Passes a process's output on to our stderr, and remembers its last lines."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=500)
        read, self.writer = os.pipe()
        """``writer`` is the end for the process; close ours once it has its own."""
        # A thread: the process must not stand still when the event loop is busy.
        self._thread = threading.Thread(target=self._pass_on, args=(read,), daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no thread is to be had
            os.close(read)
            os.close(self.writer)
            raise

    def finish(self, timeout: float) -> None:
        """Wait until all has been passed on, after the process has ended."""
        self._thread.join(timeout)

    def _pass_on(self, read: int) -> None:
        with os.fdopen(read, "rb") as output:
            for line in output:
                text = line.decode("utf-8", errors="replace").rstrip("\n")
                self.lines.append(text)
                write(text)


def last_words(lines: Sequence[str]) -> list[str]:
    """The lines that tell why it ended: at most 15."""
    # Triton ends with tables of its options; what went wrong stands before them.
    telling = [line for line in lines if line and line[0] not in "I+|"]
    return (telling or list(lines))[-15:]


_NOT_LOADED = re.compile(r"failed to load '(\w+)' version \d+: (?:\w+: )*(.+?)(?:\\n|\"|$)")
_DIED = re.compile(r"Stub process '(\w+?)_\d+_\d+' is not healthy\.?")


def why_not_loaded(lines: Sequence[str]) -> str:
    """In one line, why the models could not be loaded; empty if the lines do not say so."""
    found = (_NOT_LOADED.search(line) for line in lines)
    why = "; ".join(dict.fromkeys(match[2].strip() for match in found if match))
    return _DIED.sub(lambda match: died_while_it_loaded(match[1]), why)


def died_while_it_loaded(model: str) -> str:
    """What to say of a model whose process was not given the time to say it."""
    return f"{model}'s process died while it loaded; the kernel's log tells whether memory ran out"
