"""Runs the whole comparison: `make bench`, or `python -m benchmarks`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from align_zoo.checkpoint.folder import open_checkpoint
from align_zoo.inputs.preprocess import AlignTransform
from benchmarks.chart import draw
from benchmarks.checkpoint import base_checkpoint
from benchmarks.machine import machine
from benchmarks.results import HEAD, Row, read_rows, table, write_rows
from benchmarks.suite import PARTS

_NAMES = ", ".join(PARTS)


def main(
    model: Annotated[
        Path | None, typer.Option(help="An ALIGN folder; by default a new one of base size.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the results go.")] = Path("benchmarks/results"),
    rounds: Annotated[int, typer.Option(help="Turns of each contender.")] = 7,
    only: Annotated[list[str] | None, typer.Option(help=f"Of {_NAMES}; again for more.")] = None,
    resume: Annotated[
        bool, typer.Option(help="Keep finished parts, except the parts of --only.")
    ] = False,
) -> None:
    """Compare with the peers, print the table, write JSON and a chart."""
    for name in set(only or ()) - PARTS.keys():
        raise typer.BadParameter(f"there is no part {name!r}; there are {_NAMES}")
    folder, file = model or base_checkpoint(), out / "cpu.json"
    about, done = machine(), _read(file) if resume else {}
    size = _input_size(folder)
    print(HEAD)
    for name in only or PARTS:
        if name not in done or only:
            done[name] = PARTS[name](folder, size, rounds)
            write_rows(file, about, done)
    draw(file, out / "cpu.png")
    print(f"\n{table([row for rows in done.values() for row in rows])}\n\nwritten to {out}")


def _read(file: Path) -> dict[str, list[Row]]:
    return read_rows(file)[1] if file.is_file() else {}


def _input_size(folder: Path) -> int:
    """Return the side of the image tower's input; the towers are measured on squares."""
    path, preprocessor = open_checkpoint(folder).preprocessor
    size = AlignTransform.from_dict(preprocessor, source=str(path)).input_size
    return size[0] if size else 289


if __name__ == "__main__":
    typer.run(main)
