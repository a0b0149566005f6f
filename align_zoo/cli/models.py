"""The commands about a checkpoint on disk: ``export`` and ``convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from align_zoo.cli.shared import CHECKPOINT, Revision, one_line_errors

__all__ = ["convert", "export"]


@one_line_errors()
def export(
    model: Annotated[str, typer.Argument(help=CHECKPOINT)],
    revision: Revision = None,
    again: Annotated[
        bool, typer.Option("--again", help="Retry an export that was refused or failed before.")
    ] = False,
) -> None:
    """Export a checkpoint for ONNX Runtime ahead of time.

    Exit with 1 and print the reason if the checkpoint will run slowly.
    """
    from align_zoo.runtime.load import export_checkpoint

    typer.echo(export_checkpoint(model, revision=revision, again=again))


@one_line_errors()
def convert(
    source: Annotated[str, typer.Argument(help=CHECKPOINT)],
    target: Annotated[Path, typer.Argument(help="Folder to write.")],
    to: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="hf (one folder in transformers' format) or timm (one folder per tower).",
        ),
    ],
) -> None:
    """Write a checkpoint in Hugging Face's ALIGN format, or as timm folders."""
    from align_zoo.formats.convert import convert as write

    write(source, target, to)
    typer.echo(f"{target}: written")
