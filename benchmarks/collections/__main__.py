"""Collections beside what they are measured against: `python -m benchmarks.collections NAME...`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.checkpoint import base_checkpoint
from benchmarks.collections.workers import workers_row
from benchmarks.results import HEAD, Row

_PARTS: dict[str, Callable[[Path, int], Row]] = {"ray": workers_row}
"""A checkpoint folder and the number of turns, to a row."""
_NAMES = ", ".join(_PARTS)


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Of {_NAMES}; by default all.")] = None,
    model: Annotated[
        Path | None, typer.Option(help="An ALIGN folder; by default one of base size is made.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Turns of each contender.")] = 5,
) -> None:
    """Print a row for each name."""
    for name in set(names or ()) - _PARTS.keys():
        raise typer.BadParameter(f"there is no part {name!r}; there are {_NAMES}")
    folder = model or base_checkpoint()
    print(HEAD)
    for name in names or _PARTS:
        _PARTS[name](folder, rounds)


if __name__ == "__main__":
    typer.run(main)
