"""A tritonserver's output: passed on to our stderr, and searched for the cause of a failure."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from align_zoo.serving.log import write
from align_zoo.serving.triton.messages import (
    BAD_CONFIG,
    HARMLESS,
    NO_MODEL_FOLDER,
    NOT_BEGUN,
    NOT_LOADED,
    SLOW_MODEL,
    USAGE,
    Text,
)

__all__ = [
    "Relay",
    "died_while_it_loaded",
    "last_words",
    "needless",
    "why_ended",
    "why_no_repository",
    "why_not_loaded",
]


class Relay:
    """Passes a process's output on to our stderr, and keeps its last 500 lines.

    >>> relay = Relay()
    >>> process = subprocess.Popen(command, stdout=relay.writer)
    >>> os.close(relay.writer)
    >>> relay.finish(timeout=1)

    Args:
        verbose: whether lines that every start prints, and that explain nothing, are passed on.
    """

    def __init__(self, *, verbose: bool = True) -> None:
        self._lines: deque[tuple[float, str]] = deque(maxlen=500)
        self.left_out = 0
        """The number of lines that are not passed on."""
        self._needless = (lambda line: False) if verbose else needless()
        read, self.writer = os.pipe()
        """The pipe's end for the process; close our copy once the process has its own."""
        # A thread: the process must not stand still when the event loop is busy.
        self._thread = threading.Thread(target=self._pass_on, args=(read,), daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the system has no thread left
            os.close(read)
            os.close(self.writer)
            raise

    @property
    def lines(self) -> list[str]:
        """The lines that are kept, the oldest first."""
        return [line for _, line in list(self._lines)]

    def first(self, pattern: re.Pattern[str]) -> float | None:
        """Return when the first line came in which the pattern is found, as ``time.monotonic``."""
        return next((when for when, line in list(self._lines) if pattern.search(line)), None)

    def finish(self, timeout: float) -> None:
        """Wait until all output is passed on, after the process has ended."""
        self._thread.join(timeout)

    def _pass_on(self, read: int) -> None:
        with os.fdopen(read, "rb") as output:
            for line in output:
                text = line.decode("utf-8", errors="replace").rstrip("\n")
                self._lines.append((time.monotonic(), text))
                if self._needless(text):
                    self.left_out += 1
                else:
                    write(text)


_TABLE = re.compile(r"I\d{4} .*\] *$")
"""The line before one of tritonserver's tables, which ends with an empty line."""
_NO_DELAY = "NODELAY NOT SUPPORTED"
"""The only harmless message that has nothing to do with a GPU."""
_GPUS = ("/dev/nvidiactl", "/dev/dxg")
"""Devices of NVIDIA's driver: on Linux, and on Linux in Windows."""


def needless(*, gpu: bool | None = None) -> Callable[[str], bool]:
    """Return a function that says whether a line belongs to every start and explains nothing.

    The function must get all lines, in their order.

    Args:
        gpu: whether the machine has a GPU, where a complaint about CUDA matters; None finds out.
    """
    if gpu is None:
        gpu = any(Path(device).exists() for device in _GPUS)
    in_table = False

    def is_needless(line: str) -> bool:
        nonlocal in_table
        if in_table or _TABLE.match(line):
            in_table = bool(line)
            return True
        if gpu:
            return _NO_DELAY in line
        return HARMLESS.pattern.search(line) is not None

    return is_needless


_LEVELLED = re.compile(r"(?P<level>[A-Z])\d{4} \S+ +\d+ \S+:\d+\] \"?(?P<words>.*?)\"?$")
"""A line of tritonserver's log."""


def last_words(lines: Sequence[str]) -> list[str]:
    """Return the lines that explain why the server ended: at most 15."""
    if any(USAGE.pattern.match(line) for line in lines):
        # The cause stands before or after the usage, and is neither indented nor a heading.
        lines = [line for line in lines if re.match(r"\S.*[^:]$", line)]
        lines = [line for line in lines if not USAGE.pattern.match(line)]
    # Triton ends with tables of its options; the cause stands before the tables.
    telling = [line for line in lines if line and line[0] not in "I+|"]
    causes = [line for line in telling if not HARMLESS.pattern.search(line)]
    return (causes or telling or list(lines))[-15:]


def why_ended(lines: Sequence[str]) -> str:
    """Return in one line why the server ended before it served; empty if no line says why."""
    return why_not_loaded(lines) or why_no_repository(lines) or _errors(lines)


def why_not_loaded(lines: Sequence[str]) -> str:
    """Return in one line why the models could not be loaded; empty if no line says why."""
    why = "; ".join(_all(NOT_LOADED, lines) or _all(NOT_BEGUN, lines))
    return SLOW_MODEL.pattern.sub(
        lambda match: died_while_it_loaded(match["model"] or "a model"), why
    )


def died_while_it_loaded(model: str) -> str:
    """Return the message for a model whose process died before it could print a reason."""
    return f"{model}'s process died while it loaded; the kernel's log tells whether memory ran out"


def why_no_repository(lines: Sequence[str]) -> str:
    """Return in one line which folders of the repository are no models; empty if no line says."""
    folders = _all(NO_MODEL_FOLDER, lines, "folder")
    if not folders:
        return ""
    why = "; ".join([*_all(NO_MODEL_FOLDER, lines), *_all(BAD_CONFIG, lines)])
    return (
        f"no model is in the model repository's {' and '.join(folders)}: remove or mend it ({why})"
    )


def _all(text: Text, lines: Sequence[str], group: str = "why") -> list[str]:
    found = (text.pattern.search(line) for line in lines)
    return list(dict.fromkeys(match[group].strip() for match in found if match))


def _errors(lines: Sequence[str]) -> str:
    """Return the last three errors in the log, and the last three other lines."""
    telling = last_words(lines)
    levelled = [match for line in telling if (match := _LEVELLED.match(line))]
    errors = [match["words"] for match in levelled if match["level"] in "EF"]
    others = [line for line in telling if not _LEVELLED.match(line)]
    return "; ".join(dict.fromkeys([*errors[-3:], *others[-3:]])) or " ".join(telling[-3:])
