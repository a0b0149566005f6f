"""Draws the four panels of `benchmarks.growth`: over labels, image size, callers and time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.chart import described

__all__ = ["draw_growth"]

_FIRST, _SECOND, _MEMORY = "#1b7f79", "#d1495b", "#8d99ae"


def draw_growth(content: dict[str, Any], path: Path) -> None:
    """Draw the curves of `benchmarks.growth` to a PNG."""
    figure = Figure(figsize=(9.5, 6.8), dpi=120, layout="constrained")
    panels = figure.subplots(2, 2)
    curves = content["curves"]
    _labels(panels[0, 0], _columns(curves["labels"]))
    _megapixels(panels[0, 1], _columns(curves["megapixels"]))
    _callers(panels[1, 0], _columns(curves["callers"]))
    _minutes(panels[1, 1], _columns(curves["minutes"]))
    figure.suptitle(
        f"align-zoo's server as work grows\n{described(content['machine'])}", fontsize=10
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _labels(axes: Axes, of: dict[str, list[float]]) -> None:
    axes.loglog(of["labels"], of["new_seconds"], "o-", color=_FIRST, label="new labels")
    axes.loglog(of["labels"], of["seen_seconds"], "s-", color=_SECOND, label="the same again")
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend(fontsize=8)
    _name(axes, "one photo among many labels", "labels", "seconds")


def _megapixels(axes: Axes, of: dict[str, list[float]]) -> None:
    axes.semilogx(of["megapixels"], of["p50_ms"], "o-", color=_FIRST, label="latency, p50")
    axes.set_xticks(of["megapixels"], [f"{size:g}" for size in of["megapixels"]])
    axes.set_ylim(0, 1.4 * max(of["p50_ms"]))
    axes.minorticks_off()
    _name(axes, "JPEG, sent whole", "megapixels", "ms, one caller")
    _memory(axes, of["megapixels"], of["memory_mb"])


def _callers(axes: Axes, of: dict[str, list[float]]) -> None:
    axes.plot(of["callers"], of["per_second"], "o-", color=_FIRST, label="photos a second")
    axes.set_xscale("log", base=2)
    axes.set_xticks(of["callers"], [f"{count:g}" for count in of["callers"]])
    axes.set_ylim(0, 1.5 * max(of["per_second"]))  # room for the legend
    _name(axes, "photos, more callers", "callers at once", "photos a second")
    times = axes.twinx()
    times.plot(of["callers"], of["p50_ms"], "s-", color=_SECOND, label="latency, p50")
    times.plot(of["callers"], of["p99_ms"], "s:", color=_SECOND, label="latency, p99")
    times.set_yscale("log")
    times.set_ylim(top=20 * max(of["p99_ms"]))
    times.yaxis.set_major_formatter("{x:,g}")
    times.set_ylabel("ms", fontsize=8)
    times.tick_params(labelsize=8)
    _one_legend(axes, times)


def _minutes(axes: Axes, of: dict[str, list[float]]) -> None:
    axes.plot(of["minutes"], of["per_second"], "-", color=_FIRST, label="answers a second")
    axes.set_xlim(0)
    axes.set_ylim(0, 2 * max(of["per_second"]))  # below the memory
    _name(axes, "classifying without a pause, 4 callers", "minutes", "answers a second")
    _memory(axes, of["minutes"], of["memory_mb"])


def _memory(axes: Axes, x: list[float], megabytes: list[float]) -> None:
    beside = axes.twinx()
    beside.plot(x, megabytes, ":", color=_MEMORY, linewidth=2, label="server's memory")
    beside.set_ylim(0, 1.4 * max(megabytes))
    beside.set_ylabel("MB, all processes", fontsize=8)
    beside.tick_params(labelsize=8)
    _one_legend(axes, beside)


def _name(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=9, fontweight="bold", loc="left")
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)


def _one_legend(*all_axes: Axes) -> None:
    handles = [handle for axes in all_axes for handle in axes.get_legend_handles_labels()[0]]
    all_axes[-1].legend(handles=handles, fontsize=8, loc="upper left")


def _columns(points: list[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [point[name] for point in points] for name in points[0]}
