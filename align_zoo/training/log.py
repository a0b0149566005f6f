"""What training tells: one JSON object a line, in a file that a resumed training goes on with."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

__all__ = ["TrainingLog"]


class TrainingLog:
    """Lines of JSON, each with ``step`` and ``seconds`` since this process began.

    Args:
        path: the file; None writes nothing, as all processes but the first do.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._began = time.monotonic()

    def begin(self, step: int) -> None:
        """Forget what an interrupted training wrote of the steps after ``step``."""
        if self.path is None:
            return
        kept = []
        if step and self.path.exists():
            with self.path.open(encoding="utf-8") as file:
                # A process that was killed may have left half a line.
                whole = [line for line in file if line.endswith("\n")]
            kept = [line for line in whole if json.loads(line)["step"] <= step]
        part = self.path.with_suffix(".part")
        part.write_text("".join(kept), encoding="utf-8")
        part.replace(self.path)

    def write(self, step: int, **values: Any) -> None:
        """Append a line."""
        if self.path is None:
            return
        seconds = round(time.monotonic() - self._began, 3)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values, "seconds": seconds}) + "\n")
