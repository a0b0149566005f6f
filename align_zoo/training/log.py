"""What training tells: one JSON object a line, in a file that a resumed training goes on with."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from align_zoo.writing import replacing

__all__ = ["TrainingLog"]


class TrainingLog:
    """Lines of JSON, each with ``step`` and ``seconds`` since this process began.

    Args:
        path: the file; None writes nothing, as all processes but the first do.

    Attributes:
        measured: the steps whose measurements it holds.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.measured: set[int] = set()
        self._began = time.monotonic()

    def begin(self, step: int) -> None:
        """Forget what an interrupted training wrote of the steps after ``step``."""
        if self.path is None:
            return
        kept = []
        if step and self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines(keepends=True):
                told = _told(line)
                if told is not None and told["step"] <= step:
                    kept.append(line)
                    if not told.keys() & {"loss", "broken", "left_out"}:
                        self.measured.add(told["step"])
        with replacing(self.path) as part:
            part.write_text("".join(kept), encoding="utf-8")

    def lines(self) -> list[dict[str, Any]]:
        """Return all that was written, by the training's interrupted processes, too."""
        if self.path is None:
            return []
        told = map(_told, self.path.read_text(encoding="utf-8").splitlines(keepends=True))
        return [line for line in told if line is not None]

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


def _told(line: str) -> dict[str, Any] | None:
    """What a line says; none, if a process that was killed or a full disk left half of it."""
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if line.endswith("\n") and isinstance(told, dict) and "step" in told else None
