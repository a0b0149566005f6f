"""A fault's outcome as a row of a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["ChaosRow", "chaos_table"]

_HEAD = "| fault | requests | wrong answers | lost | seconds to recover | allowed | |\n" + (
    "|---|---:|---:|---:|---:|---:|---|"
)


@dataclass(frozen=True)
class ChaosRow:
    """A fault's counts of requests, and its time to recover."""

    what: str
    sent: int
    wrong: int
    lost: int
    """The requests without an answer although the client retried."""
    lost_allowed: bool = False
    seconds: float | None = None
    """The seconds until right answers returned; None without a fault to recover from."""
    limit: float | None = None
    """The most seconds allowed."""
    missed: str = ""
    """Further demands that were not met."""
    note: str = ""

    @property
    def verdict(self) -> str:
        """ "pass" or "miss"."""
        late = self.limit is not None and self.seconds is not None and self.seconds > self.limit
        lost = self.lost and not self.lost_allowed
        return "miss" if self.wrong or lost or late or self.missed or not self.sent else "pass"

    def line(self) -> str:
        """Write the row of a Markdown table."""
        seconds = "" if self.seconds is None else f"{self.seconds:.1f}"
        limit = "" if self.limit is None else f"{self.limit:g}"
        what = f"{self.what} ({self.note})" if self.note else self.what
        verdict = f"{self.verdict}: {self.missed}" if self.missed else self.verdict
        return (
            f"| {what} | {self.sent:,} | {self.wrong} | {self.lost} | {seconds} | {limit} "
            f"| {verdict} |"
        )


def chaos_table(rows: Iterable[ChaosRow]) -> str:
    """Write a Markdown table."""
    return "\n".join([_HEAD, *(row.line() for row in rows)])
