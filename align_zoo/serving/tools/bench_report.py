"""The report of ``align-zoo bench``, as a table and as JSON."""

from __future__ import annotations

import math
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from align_zoo.runtime.machine import cores
from align_zoo.serving.tools.bench_inputs import WrongAnswer
from align_zoo.serving.tools.callers import Load

__all__ = ["Report", "this_machine"]


@dataclass
class Report:
    """The measurements of a benchmark."""

    url: str
    served: dict[str, Any]
    client: dict[str, Any]
    planned: int
    measured: list[tuple[str, Load]] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether all planned measurements were made."""
        return len(self.measured) == self.planned

    @property
    def sound(self) -> bool:
        """Whether every measurement got answers, and no answer was wrong."""
        loads = [load for _, load in self.measured]
        return all(load.count and WrongAnswer.__name__ not in load.errors for load in loads)

    def content(self) -> dict[str, Any]:
        """Return the content of the JSON file: times in milliseconds, null without an answer."""
        rows = [{"what": what, **asdict(load)} for what, load in self.measured]
        for row in rows:
            row.update({key: None for key, value in row.items() if _is_nan(value)})
        return {
            "url": self.url,
            "served": self.served,
            "client": self.client,
            "complete": self.complete,
            "rows": rows,
        }

    def table(self) -> Table:
        """Make the table for the terminal."""
        table = Table(title=f"{self.url}, checkpoint {self.served['checkpoint']}")
        table.add_column("what", overflow="fold")
        for name in ("at once", "per second", "p50 ms", "p95 ms", "p99 ms"):
            table.add_column(name, justify="right")
        table.add_column("errors")
        for what, load in self.measured:
            times = [f"{value:.1f}" for value in (load.per_second, load.p50, load.p95, load.p99)]
            errors = ", ".join(f"{count} {kind}" for kind, count in sorted(load.errors.items()))
            table.add_row(what, str(load.concurrency), *times, errors or "none")
        return table


def this_machine() -> dict[str, Any]:
    """Describe the machine of the callers."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.machine(),
        "cores": cores(),
        "python": platform.python_version(),
    }


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
