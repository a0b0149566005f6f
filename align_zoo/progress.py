"""Shows progress on stderr, so that stdout stays free for results."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

__all__ = ["progress_bar", "say"]


def say(line: str) -> None:
    """Print a line that is also logged elsewhere; a closed or full stdout does not end the work."""
    if sys.stdout is not None:
        stream = _Indifferent(sys.stdout)
        stream.write(f"{line}\n")
        stream.flush()


@contextmanager
def progress_bar(what: str, total: int, *, show: bool = True) -> Iterator[Callable[[int], None]]:
    """Yield the function that counts further items as done."""
    if not show or sys.stderr is None:
        yield lambda done: None
        return
    from rich.console import Console  # here: a served model shows no bars
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(file=_Indifferent(sys.stderr))  # type: ignore[arg-type]  # written to alone
    # Lines of stdout go above the bar only if stdout is the bar's terminal.
    beside = sys.stdout is not None and sys.stdout.isatty()
    with Progress(*columns, console=console, redirect_stdout=beside) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)


class _Indifferent:
    """A stream that ignores errors of writing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except (OSError, ValueError):  # full, or closed
            self._silence()

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._silence()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _silence(self) -> None:
        # Otherwise the rest of the buffer fails again when Python ends.
        with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())
