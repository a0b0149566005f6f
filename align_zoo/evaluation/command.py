"""``align-zoo evaluate``: arguments in, a report out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from align_zoo.serving.model.settings import DEFAULT_MODEL

__all__ = ["evaluate"]


def evaluate(
    data: Annotated[
        Path,
        typer.Argument(help="A folder with one folder a class, or captions: COCO's .json, .csv."),
    ],
    model: Annotated[
        str,
        typer.Option(envvar="ALIGN_ZOO_MODEL", help='A hub id, a folder, or "align_tiny".'),
    ] = DEFAULT_MODEL,
    revision: Annotated[
        Optional[str],
        typer.Option(envvar="ALIGN_ZOO_REVISION", help="Branch, tag or commit of a hub id."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for report.json, confusion.png and the embeddings.")
    ] = Path("evaluation"),
    templates: Annotated[
        Optional[str],
        typer.Option(help='Prompts: "none", "photo" (default), "imagenet", or one with a {}.'),
    ] = None,
    classnames: Annotated[
        Optional[Path], typer.Option(help='JSON: {"folder": "class name"}.')
    ] = None,
    images: Annotated[
        Optional[Path], typer.Option(help="Folder of the pictures that have captions.")
    ] = None,
    device: Annotated[str, typer.Option(help='"cpu", "cuda", "cuda:1" ...')] = "cpu",
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures, and texts, at a time.")] = 32,
) -> None:
    """Measure zero-shot accuracy or retrieval on your pictures; interrupted, it goes on."""
    from align_zoo.evaluation.report import summary
    from align_zoo.evaluation.run import EvaluateOptions
    from align_zoo.evaluation.run import evaluate as run
    from align_zoo.progress import say

    options = EvaluateOptions(
        data=data,
        model=model,
        revision=revision,
        out=out,
        templates=templates,
        classnames=classnames,
        images=images,
        device=device,
        batch_size=batch_size,
        progress=True,
    )
    told = f"{summary(run(options))}\nwritten to {out}"
    # A folder's name need not be UTF-8.
    say(told.encode(errors="backslashreplace").decode())
