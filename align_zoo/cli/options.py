"""What the commands about images share: options of the same meaning, and how they end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from align_zoo.cli.rows import Format, printable
from align_zoo.cli.shared import CHECKPOINT, needs
from align_zoo.errors import InvalidInput

if TYPE_CHECKING:
    from align_zoo.collection.embedder import Embedder
    from align_zoo.collection.writer import Report

__all__ = [
    "PATHS",
    "SOURCE",
    "CollectionPlace",
    "LabelsFile",
    "LabelsText",
    "Model",
    "NoneLabel",
    "Prompts",
    "Ray",
    "SearchedCollection",
    "Server",
    "Template",
    "Workers",
    "complain",
    "embedder_of",
    "exit_with",
    "finish",
    "interruptible",
    "label_names",
    "needs_collection",
    "shows_bar",
    "templates_of",
]

PATHS = (Format.PATHS, Format.PATHS_NUL)
_SOME_FAILED = 2
_INTERRUPTED = 130
SOURCE = (
    "A folder, a file, a pattern, a .csv or .parquet table with a column of paths, "
    "a webdataset .tar, or a URL."
)
Model = Annotated[
    str, typer.Option("--model", envvar="ALIGN_ZOO_MODEL", metavar="CHECKPOINT", help=CHECKPOINT)
]
Server = Annotated[
    Optional[str],
    typer.Option(
        envvar="ALIGN_ZOO_SERVER",
        metavar="HOST:PORT[,HOST:PORT]",
        help="Compute on these servers (gRPC), not in this process.",
    ),
]
Workers = Annotated[
    Optional[int],
    typer.Option(metavar="N", min=1, help="Compute in N processes of Ray."),
]
Ray = Annotated[
    Optional[str],
    typer.Option(metavar="ADDRESS", help="Compute on this Ray cluster, as HOST:PORT or auto."),
]
# A path would make s3:/ of s3://.
CollectionPlace = Annotated[
    str, typer.Argument(metavar="COLLECTION", help="The collection's folder, or an s3:// address.")
]
SearchedCollection = Annotated[
    Optional[str],
    typer.Option(metavar="COLLECTION", help="Search this collection over HTTP, too."),
]
LabelsText = Annotated[Optional[str], typer.Option(metavar="TEXT", help='Labels, as "cat, dog".')]
LabelsFile = Annotated[Optional[Path], typer.Option(metavar="FILE", help="Labels, one per line.")]
Template = Annotated[
    Optional[str],
    typer.Option(metavar="TEMPLATE", help="Prompt template; {} is replaced by the label."),
]
Prompts = Annotated[
    Optional[str],
    typer.Option(metavar="NAME", help="Set of templates: none (default), photo, imagenet."),
]
NoneLabel = Annotated[
    Optional[str],
    typer.Option(metavar="LABEL", help="A further label for images of something else."),
]


def label_names(labels: str | None, file: Path | None) -> list[str]:
    """Return the labels of an option or of a file.

    Raises:
        InvalidInput: there is neither, or both.
    """
    if (labels is None) == (file is None):
        raise InvalidInput("give --labels or --labels-file")
    if file is None:
        return [name.strip() for name in (labels or "").split(",") if name.strip()]
    from align_zoo.collection.classify import read_labels

    return read_labels(file)


def templates_of(template: str | None, prompts: str | None) -> str:
    """Return a template, or the name of a set of templates.

    Raises:
        InvalidInput: there are both.
    """
    if template is not None and prompts is not None:
        raise InvalidInput("--template and --prompts exclude each other")
    return template or prompts or "none"


def embedder_of(model: str, server: str | None) -> Embedder:
    """Return what computes: servers if there are any, else this process."""
    from align_zoo.collection.embedder import EncoderEmbedder, ServerEmbedder

    if server:
        return ServerEmbedder([url.strip() for url in server.split(",") if url.strip()])
    return EncoderEmbedder(model)


def shows_bar() -> bool:
    """Return whether somebody sees a progress bar."""
    return sys.stderr is not None and sys.stderr.isatty()


def complain(path: str, error: str) -> None:
    """Name an image on stderr with what is wrong."""
    typer.echo(f"{printable(path)}: {error}", err=True)


def finish(report: Report, next_step: str) -> None:
    """Show a run's counts and every failure on stderr, and exit with 2 if something failed."""
    for path, error in report.failed.items():
        complain(path, error)
    typer.echo(f"{report.summary()}; {next_step}", err=True)
    exit_with(report.listed - len(report.failed), len(report.failed))


def exit_with(found: int, failed: int) -> None:
    """Exit with 2 if something failed, with 1 if nothing was found."""
    if failed:
        raise typer.Exit(_SOME_FAILED)
    if not found:
        raise typer.Exit(1)


@contextmanager
def interruptible(kept: str = "") -> Iterator[None]:
    """Exit with 130 on Ctrl-C, and say what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"interrupted{'; ' + kept if kept else ''}", err=True)
        raise typer.Exit(_INTERRUPTED) from None


def needs_collection() -> AbstractContextManager[None]:
    """Turn a failed import into an error that names the extra `collection`."""
    return needs("a collection", extra=".[collection]", missing=ModuleNotFoundError)
