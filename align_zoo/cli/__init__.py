"""The align-zoo command: arguments in, exit code out; the other packages do the work."""

from __future__ import annotations

from typing import Annotated

import typer

import align_zoo
from align_zoo.cli import collections, data, images, models, serve, upkeep, web

__all__ = ["app"]

app = typer.Typer(
    help="Run ALIGN as timm models, and serve ALIGN with Triton.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"align-zoo {align_zoo.__version__}")
        raise typer.Exit()


@app.callback()
def _before_any_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


_PANELS = {
    "Serve": (
        serve.serve,
        web.web,
        serve.reload,
        serve.probe,
        serve.bench,
        serve.demo,
        collections.mcp,
    ),
    "Models": (models.export, models.convert),
    "Images": (
        images.classify,
        images.embed,
        images.explain,
        collections.index,
        collections.search,
        collections.dedupe,
        collections.label,
    ),
    "Data": (data.evaluate, data.finetune),
}

for panel, commands in _PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(upkeep.collection, name="collection", rich_help_panel="Images")
