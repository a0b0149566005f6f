"""The commands `align-zoo collection ...`, by which a collection is looked after."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from align_zoo.cli.options import (
    CollectionPlace,
    complain,
    exit_with,
    interruptible,
    needs_collection,
    shows_bar,
)
from align_zoo.cli.rows import Json
from align_zoo.cli.shared import one_line_errors

__all__ = ["collection"]

collection = typer.Typer(help="Look after a collection.", no_args_is_help=True)


@collection.command()
@one_line_errors()
def info(where: CollectionPlace, as_json: Json = False) -> None:
    """Show rows, failures by reason, checkpoint, bytes and indexes."""
    import json

    with needs_collection():
        from align_zoo.collection.collection import Collection

        with Collection.open(where) as kept:
            about = kept.info()
    if as_json or not sys.stdout.isatty():
        typer.echo(json.dumps(about))
        return
    for name, value in about.items():
        typer.echo(f"{name:12} {value}")


@collection.command()
@one_line_errors()
def check(
    where: CollectionPlace,
    repair: Annotated[
        bool, typer.Option("--repair", help="Keep the sound rows alone, in a new table.")
    ] = False,
) -> None:
    """Read every row, and name those that are damaged; measure the index.

    After a repair, `align-zoo index` embeds the images of damaged rows again.
    """
    with needs_collection(), interruptible():
        from align_zoo.collection.collection import Collection

        with Collection.open(where) as kept:
            health = kept.check(repair=repair, progress=shows_bar())
    for path, what in health.damaged.items():
        complain(path, what)
    for line in health.summary():
        typer.echo(line, err=True)
    if not health.sound:
        typer.echo(
            "the sound rows are kept in a new table; `align-zoo index` embeds the others again"
            if repair
            else "--repair keeps the sound rows",
            err=True,
        )
    exit_with(1, 0 if repair else not health.sound)


@collection.command()
@one_line_errors()
def optimize(where: CollectionPlace) -> None:
    """Merge small files, follow with the index, and remove old versions."""
    with needs_collection(), interruptible():
        from align_zoo.collection.collection import Collection

        with Collection.open(where) as kept:
            kept.optimize()
