"""The log of a training: one JSON object per line; a resumed training appends to the file."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from align_zoo.writing import replacing

__all__ = ["TrainingLog"]


class TrainingLog:
    """Lines of JSON, each with ``step`` and ``seconds`` since this process began.

    ``TrainingLog(path).write(10, loss=0.5)`` appends a line.

    Args:
        path: the file; None writes nothing, for all processes but the first.

    Attributes:
        measured: the steps whose measurements the log holds.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.measured: set[int] = set()
        self._began = time.monotonic()

    def begin(self, step: int) -> None:
        """Remove the lines that an interrupted training wrote about steps after ``step``."""
        if self.path is None:
            return
        kept = []
        if step and self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines(keepends=True):
                entry = _entry(line)
                if entry is not None and entry["step"] <= step:
                    kept.append(line)
                    if not entry.keys() & {"loss", "broken", "left_out"}:
                        self.measured.add(entry["step"])
        with replacing(self.path) as part:
            part.write_text("".join(kept), encoding="utf-8")

    def lines(self) -> list[dict[str, Any]]:
        """Return all lines, those of the training's interrupted processes included."""
        if self.path is None:
            return []
        entries = map(_entry, self.path.read_text(encoding="utf-8").splitlines(keepends=True))
        return [entry for entry in entries if entry is not None]

    def measure(self, step: int, found: dict[str, float | None]) -> None:
        """Append a measurement."""
        self.measured.add(step)
        self.write(step, **found)

    def write(self, step: int, **values: Any) -> None:
        """Append a line."""
        if self.path is None:
            return
        seconds = round(time.monotonic() - self._began, 3)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values, "seconds": seconds}) + "\n")


def _entry(line: str) -> dict[str, Any] | None:
    """Parse a line; None if it was cut by a killed process or a full disk."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if line.endswith("\n") and isinstance(entry, dict) and "step" in entry else None
