"""One comparison as a row, and the rows as a table and as JSON."""

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
    """Ours beside another's, measured in turns in one run.

    A ratio is how many times better ours is, except where ``at_most`` is set: there it is how
    many times as much ours takes.
    """

    group: str
    """"tower", "served", "start", "memory" ..."""
    what: str
    against: str
    """What the other is; "" if there is none, and ``target`` is of ``ours`` itself."""
    unit: str
    """"/s", "ms", "s", "MB", "GFLOP/s" or "%"."""
    ours: float
    theirs: float | None = None
    spread: float | None = None
    """Half the distance of the quartiles of ours, as a share of the median; None of one look."""
    their_spread: float | None = None
    ratio: float | None = None
    target: float | None = None
    at_most: bool = False
    """The target is a limit, not a goal."""
    note: str = ""
    """What a reader must know: the greatest difference of the answers, why a figure is missed."""

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
        """The row of a Markdown table."""
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
    """A Markdown table."""
    return "\n".join([HEAD, *(row.line() for row in rows)])


def write_rows(path: Path, machine: dict[str, Any], parts: Mapping[str, Sequence[Row]]) -> None:
    """Machine and rows, by the part of the run that made them, as JSON."""
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
    """What ``write_rows`` wrote."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["machine"], {
        name: [Row(**{k: v for k, v in row.items() if k != "verdict"}) for row in rows]
        for name, rows in content["parts"].items()
    }


def quantity(value: float, unit: str) -> str:
    """A value as people read it: "5.83/s", "1,471 MB"."""
    number = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{number}{unit}" if unit.startswith("/") else f"{number} {unit}"


def _with_spread(value: float, unit: str, spread: float | None) -> str:
    return quantity(value, unit) + ("" if spread is None else f" ± {spread:.0%}")
