"""What several commands share: options of the same meaning, and errors of one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Optional

import typer

from align_zoo.errors import AlignZooError, to_install

__all__ = [
    "CHECKPOINT",
    "TOKEN_FILE",
    "Revision",
    "ServedModel",
    "ServedRevision",
    "needs",
    "one_line_errors",
]

TOKEN_FILE = "ALIGN_ZOO_TOKEN_FILE"
"""The variable that names the file of tokens."""
CHECKPOINT = "Checkpoint: a hub id, a local folder, align_tiny or align_emoji."
_REVISION = "Branch, tag or commit of the hub id."

Revision = Annotated[Optional[str], typer.Option(metavar="REVISION", help=_REVISION)]
# What `serve` serves, `evaluate` measures: one environment names the checkpoint for both.
ServedModel = Annotated[
    str, typer.Option(envvar="ALIGN_ZOO_MODEL", metavar="CHECKPOINT", help=CHECKPOINT)
]
ServedRevision = Annotated[
    Optional[str], typer.Option(envvar="ALIGN_ZOO_REVISION", metavar="REVISION", help=_REVISION)
]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print an error of align-zoo as one line on stderr, and exit with the error's code or 1."""
    try:
        yield
    except AlignZooError as error:
        typer.echo(f"align-zoo: {error}", err=True)
        raise typer.Exit(getattr(error, "exit_code", 1)) from None


@contextmanager
def needs(
    subject: str, extra: str = ".[server]", missing: type[ImportError] = ImportError
) -> Iterator[None]:
    """Turn a failed import into an error that names the package and the extra that brings it.

    Raises:
        AlignZooError: an import failed with an error of the type ``missing``.
    """
    try:
        yield
    except missing as error:
        raise AlignZooError(f"{subject} needs {error.name}: {to_install(extra)}") from error
