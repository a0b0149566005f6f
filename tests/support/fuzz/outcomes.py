"""What became of the items of a run, and what it cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from rich.table import Table

__all__ = ["Outcomes", "table"]


@dataclass
class Outcomes:
    """Of one kind of input; those of several workers are added up."""

    what: str
    tried: int = 0
    answered: int = 0
    """Decoded to pixels, or embedded."""
    refused: Counter[str] = field(default_factory=Counter)
    """By the reason."""
    faults: list[str] = field(default_factory=list)
    """What must not be: a crash, a hang, a wrong answer, a message that tells too much."""
    slowest_ms: float = 0.0
    """In processor time; of what is served by the clock."""
    slowest: int = -1
    """Its seed."""
    peak_mb: float = 0.0
    """Of memory, beyond what the process had before the first item."""

    def add(self, other: Outcomes) -> None:
        """Add a part of the same run."""
        self.tried += other.tried
        self.answered += other.answered
        self.refused += other.refused
        self.faults += other.faults
        if other.slowest_ms > self.slowest_ms:
            self.slowest_ms, self.slowest = other.slowest_ms, other.slowest
        self.peak_mb = max(self.peak_mb, other.peak_mb)

    def timed(self, seed: int, seconds: float) -> None:
        """Keep the slowest."""
        if seconds * 1000 > self.slowest_ms:
            self.slowest_ms, self.slowest = seconds * 1000, seed


def table(runs: list[Outcomes]) -> Table:
    """For people: a row for each kind of input."""
    shown = Table(title="Hostile input")
    for name in ("input", "tried", "answered", "refused, by reason", "faults", "slowest ms", "MB"):
        shown.add_column(name, justify="left" if name.startswith(("input", "ref")) else "right")
    for run in runs:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in run.refused.most_common())
        shown.add_row(
            run.what,
            f"{run.tried:,}",
            f"{run.answered:,}",
            reasons or "none",
            str(len(run.faults)),
            f"{run.slowest_ms:.0f} (seed {run.slowest})",
            f"{run.peak_mb:.0f}" if run.peak_mb else "",
        )
    return shown
