"""Measures align_emoji: ``python -m align_zoo.emoji.evaluate`` prints docs/align-emoji.md's tables.

The drawings come from npm. ``--out`` adds the confusion of groups and the worst mistakes as
images, and ``--log`` the curves of a training.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from align_zoo.collection.embedder import EncoderEmbedder
from align_zoo.collection.sheet import draw_sheet
from align_zoo.collection.sources import Input
from align_zoo.emoji.drawings import load_drawings
from align_zoo.emoji.measure import (
    FIRST,
    GALLERY,
    Embedded,
    Figures,
    as_png,
    nothing_matches,
    report,
    wordings,
)
from align_zoo.emoji.packages import HELD_OUT_STYLE, packages_folder
from align_zoo.errors import AlignZooError
from align_zoo.evaluation.confusion_chart import draw_confusion


def draw_mistakes(embedded: Embedded, folder: Path, count: int = 30) -> None:
    """Draw the worst mistakes on the style never seen as one sheet."""
    drawings, shown = embedded.drawings, []
    (folder / "mistakes").mkdir(parents=True, exist_ok=True)
    for row, wrong in embedded.worst_mistakes(drawings.rows([HELD_OUT_STYLE]), count):
        path = folder / "mistakes" / f"{drawings.concepts[drawings.concept[row]].slug}.png"
        path.write_bytes(as_png(drawings.on_white(np.array([row]))[0]))
        shown.append((Input(str(path), path.stat().st_size, 0), wrong.name))
    draw_sheet(folder / "mistakes.png", "taken for ...", shown)


def draw_curves(logs: Sequence[Path], path: Path) -> None:
    """Draw the loss and the measurements of trainings over their steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), dpi=140, layout="constrained")
    left, right = figure.subplots(1, 2)
    for log in logs:
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        losses = [(line["step"], line["loss"]) for line in lines if "loss" in line]
        left.plot(*zip(*losses, strict=True), linewidth=0.7)
        for name in ("name_first", "name_in_five"):
            measured = [(line["step"], line[name]) for line in lines if name in line]
            right.plot(*zip(*measured, strict=True), marker=".", label=name.replace("_", " "))
    left.set(xlabel="step", ylabel="loss")
    right.set(xlabel="step", ylabel="share of images", ylim=(0, 1))
    right.legend()
    figure.savefig(path)


def tables(
    found: Mapping[str, Figures],
    worded: Mapping[str, tuple[float, float]],
    matched: Mapping[str, float],
) -> str:
    """Write the figures as the Markdown tables of docs/align-emoji.md, the aims last."""
    unseen, plain = found[HELD_OUT_STYLE], worded["{}"][0]
    first, five, same, keyword, group = map(_percent, unseen.values())
    new = [shares[0] for wording, shares in worded.items() if wording != "{}"]
    span = f"{_percent(min(new))} to {_percent(max(new))}"
    aims = [
        ["its name among all names, first / in the first five", "50% / 75%", f"{first} / {five}"],
        [f"an image of the same concept in {GALLERY}, first", "60%", same],
        [f"an image with a keyword beyond its name, in the first {FIRST}", "50%", keyword],
        ["group", "80%", group],
        [
            "names in wordings never trained on, first",
            f"within 5 points of {_percent(plain)}",
            span,
        ],
    ]
    written = (
        (
            ["drawings", *unseen],
            [[each, *map(_percent, shares.values())] for each, shares in found.items()],
        ),
        (
            [f"wording, {HELD_OUT_STYLE}", "first", "in five"],
            [[f"`{each}`", *map(_percent, shares)] for each, shares in worded.items()],
        ),
        (
            ["image", "names that match it"],
            [[each, _percent(share)] for each, share in matched.items()],
        ),
        ([f"on {HELD_OUT_STYLE}, the style never seen", "aim", "reached"], aims),
    )
    return "\n\n".join(_table(head, rows) for head, rows in written)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table; all columns but the first are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def main(
    model: Annotated[str, typer.Argument(help="A checkpoint.")] = "align_emoji",
    out: Annotated[Path | None, typer.Option(help="A folder for report.json and images.")] = None,
    log: Annotated[list[Path] | None, typer.Option(help="A training's log.jsonl.")] = None,
    packages: Annotated[Path | None, typer.Option(help="The folder of npm packages.")] = None,
) -> None:
    """Measure a checkpoint on all drawings, and print Markdown tables."""
    try:
        drawings = load_drawings(packages or packages_folder())
        embedded = Embedded.of(drawings, EncoderEmbedder(model))
        found, worded, matched = report(embedded), wordings(embedded), nothing_matches(embedded)
    except AlignZooError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    print(tables(found, worded, matched))
    if out:
        out.mkdir(parents=True, exist_ok=True)
        whole = {"found": found, "worded": worded, "matched": matched}
        (out / "report.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
        counts, groups = embedded.confuse_groups(drawings.rows([HELD_OUT_STYLE]))
        draw_confusion(counts, groups, out / "groups.png")
        draw_mistakes(embedded, out)
        if log:
            draw_curves(log, out / "curves.png")


if __name__ == "__main__":
    typer.run(main)
