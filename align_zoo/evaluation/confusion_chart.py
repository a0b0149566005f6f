"""The confusion matrix as a chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from align_zoo.errors import AlignZooError, to_install
from align_zoo.writing import replacing

try:
    from matplotlib.axes import Axes
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure
except ImportError as error:
    raise AlignZooError(
        f"the confusion matrix needs matplotlib: {to_install('.[evaluate]')}"
    ) from error

__all__ = ["draw_confusion"]

_MOST_LABELS = 60
_FEW = 30
_LONGEST_LABEL = 28


def draw_confusion(confusion: torch.Tensor, classnames: Sequence[str], path: Path) -> None:
    """Draw counts [C, C], row the true class and column the class found, to a PNG file.

    Colours are shares of the row. Names and percentages are written for up to 60 classes; with
    more classes the axes give the position.
    """
    count = len(classnames)
    shares = confusion / confusion.sum(1, keepdim=True).clamp(min=1)
    side = min(max(4.0, 0.26 * count), 14.0)
    # Not by pyplot, which looks for a screen and keeps every figure.
    figure = Figure(figsize=(side + 2.5, side + 1.5), dpi=150)
    axes = figure.add_subplot()
    # The root makes a confusion of one in a hundred visible.
    drawn = axes.imshow(shares.numpy(), cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
    if count <= _MOST_LABELS:
        _name_ticks(axes, classnames)
        _write_shares(axes, shares)
        axes.set(xlabel="found", ylabel="true class")
    else:
        axes.set(
            xlabel="found (position in report.json)", ylabel="true class (position in report.json)"
        )
    total = int(confusion.sum())
    axes.set_title(f"{total:,} images, top-1 {int(confusion.trace()) / total:.1%}")
    bar = figure.colorbar(drawn, ax=axes, ticks=[0, 0.01, 0.1, 0.25, 0.5, 1], fraction=0.04)
    bar.ax.set_yticklabels(["0", "1 %", "10 %", "25 %", "50 %", "100 %"], fontsize=9)
    bar.set_label("share of the true class's images", fontsize=9)
    with replacing(path) as part:
        figure.savefig(part, format="png", bbox_inches="tight")


def _name_ticks(axes: Axes, classnames: Sequence[str]) -> None:
    labels = [
        name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1]}…"
        for name in classnames
    ]
    size = 9 if len(labels) <= _FEW else 7
    places = range(len(labels))
    # parse_math would read a dollar sign as the start of a formula.
    axes.set_xticks(places, labels, rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(places, labels, fontsize=size, parse_math=False)


def _write_shares(axes: Axes, shares: torch.Tensor) -> None:
    size = 8 if len(shares) <= _FEW else 6
    for row, column in shares.nonzero().tolist():
        share = float(shares[row, column])
        axes.text(
            column,
            row,
            f"{100 * share:.0f}",
            ha="center",
            va="center",
            fontsize=size,
            color="white" if share > 0.4 else "black",
        )
