"""A comparison as a row, and rows as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from align_zoo.writing import replacing

__all__ = ["HEAD", "Row", "quantity", "read_rows", "table", "write_rows"]

HEAD = "| | against | ours | theirs | ratio | wanted | |\n|---|---|---:|---:|---:|---:|---|"


@dataclass(frozen=True)
class Row:
    """Our figure beside another's, measured in turns in one run.

    A ratio says how many times better ours is. With ``at_most`` it is ours divided by theirs.
    """

    group: str
    """"tower", "served", "start", "memory" ..."""
    what: str
    """The name of the work."""
    against: str
    """The name of the other; "" without another, where ``target`` is about ``ours``."""
    unit: str
    """"/s", "ms", "s", "MB", "GFLOP/s" or "%"."""
    ours: float
    theirs: float | None = None
    spread: float | None = None
    """Half the distance of our quartiles, as a share of the median; None of a single figure."""
    their_spread: float | None = None
    ratio: float | None = None
    target: float | None = None
    at_most: bool = False
    """Whether the target is a limit instead of a goal."""
    note: str = ""
    """A note for the reader: the greatest difference of the answers, the reason of a miss."""

    @property
    def judged(self) -> float:
        """The figure that the target is about."""
        return self.ours if self.ratio is None else self.ratio

    @property
    def verdict(self) -> str:
        """ "pass" or "miss"; "" without a target."""
        if self.target is None:
            return ""
        reached = self.judged <= self.target if self.at_most else self.judged >= self.target
        return "pass" if reached else "miss"

    def line(self) -> str:
        """Write the row of a Markdown table."""
        times = "" if self.ratio is None else f"{self.ratio:.2f}x"
        sign = "≤ " if self.at_most else "≥ "
        unit = "x" if self.ratio is not None else f" {self.unit}".replace(" /", "/")
        wanted = "" if self.target is None else f"{sign}{self.target:g}{unit}"
        ours = _with_spread(self.ours, self.unit, self.spread)
        theirs = (
            "" if self.theirs is None else _with_spread(self.theirs, self.unit, self.their_spread)
        )
        what = f"{self.what} ({self.note})" if self.note else self.what
        return (
            f"| {what} | {self.against} | {ours} | {theirs} | {times} | {wanted} | {self.verdict} |"
        )


def table(rows: Iterable[Row]) -> str:
    """Write a Markdown table."""
    return "\n".join([HEAD, *(row.line() for row in rows)])


def write_rows(path: Path, machine: dict[str, Any], parts: Mapping[str, Sequence[Row]]) -> None:
    """Write the machine, and the rows of each part of the run, as JSON."""
    content = {
        "machine": machine,
        "parts": {
            name: [{**asdict(row), "verdict": row.verdict} for row in rows]
            for name, rows in parts.items()
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_rows(path: Path) -> tuple[dict[str, Any], dict[str, list[Row]]]:
    """Read the machine and the rows of a file of ``write_rows``."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["machine"], {
        name: [Row(**{k: v for k, v in row.items() if k != "verdict"}) for row in rows]
        for name, rows in content["parts"].items()
    }


def quantity(value: float, unit: str) -> str:
    """Write a value with its unit: "5.83/s", "1,471 MB"."""
    number = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{number}{unit}" if unit.startswith("/") else f"{number} {unit}"


def _with_spread(value: float, unit: str, spread: float | None) -> str:
    return quantity(value, unit) + ("" if spread is None else f" ± {spread:.0%}")
