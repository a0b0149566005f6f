"""The table as a chart: `python -m benchmarks.chart results.json chart.png`."""

from __future__ import annotations

import textwrap
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.results import Row, quantity, read_rows

__all__ = ["described", "draw", "extent", "wanted_at", "words"]

# People who do not see red and green can tell these apart; the verdict is also written as a word.
_COLOURS = {"pass": "#1b7f79", "miss": "#d1495b", "": "#9aa5b1"}
_INCHES_A_ROW = 0.31


def extent(row: Row) -> float:
    """Return the length of a bar: the ratio, or else ours divided by the target, or else 0."""
    if row.ratio is not None:
        return row.ratio
    return row.ours / row.target if row.target else 0.0


def wanted_at(row: Row) -> float | None:
    """Return the place of the target's tick on the scale of ``extent``."""
    if row.target is None:
        return None
    return row.target if row.ratio is not None else 1.0


def words(row: Row) -> str:
    """Write the text beside a bar: "5.8x   wanted ≥ 5x: pass"."""
    ours = f"{row.judged:.2f}x" if row.ratio is not None else quantity(row.judged, row.unit)
    if row.target is None:
        return ours
    sign = "≤" if row.at_most else "≥"
    wanted = f"{row.target:g}x" if row.ratio is not None else quantity(row.target, row.unit)
    return f"{ours}   wanted {sign} {wanted}: {row.verdict}"


def draw(results: Path, chart: Path) -> None:
    """Draw the bars of all rows in ``results``, a panel for each group, to the PNG ``chart``."""
    machine, parts = read_rows(results)
    rows = [row for part in parts.values() for row in part]
    names = list(dict.fromkeys(row.group for row in rows))
    rows.sort(key=lambda row: names.index(row.group))  # two parts may add to one group
    groups = [(name, list(members)) for name, members in groupby(rows, lambda row: row.group)]
    counts = [len(members) for _, members in groups]
    height = _INCHES_A_ROW * (sum(counts) + 1.5 * len(groups)) + 0.9
    figure = Figure(figsize=(9.5, height), dpi=120, layout="constrained")
    grid = figure.add_gridspec(
        max(1, len(groups)), 1, height_ratios=[n + 0.4 for n in counts or [1]]
    )
    for i, (name, members) in enumerate(groups):
        _panel(figure.add_subplot(grid[i]), name, members)
    judged = [row.verdict for row in rows if row.verdict]
    figure.suptitle(
        f"align-zoo beside others: {judged.count('pass')} of {len(judged)} goals reached\n"
        f"{described(machine)}",
        fontsize=10,
    )
    figure.supxlabel(
        "bar: ratio to the other, or share of the figure wanted; black tick: what is wanted "
        "(≥ at least, ≤ at most)",
        fontsize=8,
    )
    chart.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(chart)


def _panel(axes: Axes, name: str, rows: list[Row]) -> None:
    places = range(len(rows))
    axes.barh(places, [extent(row) for row in rows], 0.7, color=[_COLOURS[r.verdict] for r in rows])
    longest = max([0.01, *(max(extent(row), wanted_at(row) or 0) for row in rows)])
    for place, row in zip(places, rows, strict=True):
        tick = wanted_at(row)
        if tick is not None:
            axes.plot([tick, tick], [place - 0.45, place + 0.45], color="black", linewidth=2)
        start = max(extent(row), tick or 0) + 0.015 * longest
        colour = _COLOURS["miss"] if row.verdict == "miss" else "black"
        axes.text(start, place, words(row), va="center", fontsize=8, color=colour)
    common = {row.against for row in rows}
    if len(common) == 1 and rows[0].against:
        name = f"{name}, against {rows[0].against}"
        labels = [row.what for row in rows]
    else:
        labels = [f"{r.what}, against {r.against}" if r.against else r.what for r in rows]
    labels = ["\n".join(textwrap.wrap(label, 52)) for label in labels]
    axes.set_yticks(places, labels, fontsize=8)
    axes.set_xlim(0, longest * 1.6)  # room for the words
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xticks([])
    axes.set_title(name, fontsize=9, fontweight="bold", loc="left")
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def described(machine: dict[str, Any]) -> str:
    """Describe a machine in a line, for a title."""
    cores = f"{machine['cores']} cores" if "cores" in machine else ""
    kilobytes = str(machine.get("memory") or "").removesuffix(" kB")
    memory = f"{int(kilobytes) / 1e6:.0f} GB" if kilobytes.isdigit() else kilobytes
    vectors = {True: "AVX-512", False: "no AVX-512"}.get(machine.get("avx512"))
    about = [machine.get("gpu"), machine.get("cpu"), vectors, cores, memory]
    return ", ".join(str(each) for each in [*about, machine.get("date")] if each)


def main(
    results: Annotated[Path, typer.Argument(help="The JSON of `make bench`.", exists=True)],
    chart: Annotated[Path, typer.Argument(help="PNG to write.")],
) -> None:
    """Draw the results."""
    draw(results, chart)


if __name__ == "__main__":
    typer.run(main)
