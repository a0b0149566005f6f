"""Exports a checkpoint once; a refusal is remembered, too."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path

from align_zoo.checkpoint.folder import Checkpoint
from align_zoo.errors import CheckpointError, to_install
from align_zoo.runtime.onnx import refusals
from align_zoo.runtime.onnx.refusals import ExportRefused

__all__ = ["export_once", "forget_refusals", "not_installed", "try_again"]

_log = logging.getLogger(__name__)


def export_once(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a checkpoint's export, unless the same versions have refused it before.

    Raises:
        CheckpointError: the checkpoint is damaged or not supported, or the export differs from
            PyTorch or cannot be written.
    """
    note = _note(folder)
    if refused := refusals.recall(note):
        raise ExportRefused(f"{refused}; {try_again(checkpoint.name)}")
    try:
        _export(checkpoint, folder)
    except ExportRefused as error:
        refusals.remember(note, str(error))
        raise ExportRefused(f"{error}; {try_again(checkpoint.name)}") from error
    refusals.forget(note)  # of other versions


def forget_refusals(folder: Path, *notes: Path) -> None:
    """Delete the notes of refusals, so that the next export to ``folder`` tries again."""
    for note in (_note(folder), *notes):
        refusals.forget(note)


def try_again(name: str) -> str:
    """Name the command that tries a refused export of a checkpoint again."""
    return f"`align-zoo export --again {shlex.quote(name)}` tries again"


def not_installed(error: ImportError) -> str:
    """Name the packages to install."""
    return (
        f"what ONNX Runtime or the export needs is not installed ({error}): "
        f"{to_install('.[onnx]')}, or use runtime='torch'"
    )


def _export(checkpoint: Checkpoint, folder: Path) -> None:
    try:
        from align_zoo.runtime.onnx.export import export  # imports torch

        _log.warning(
            "exporting %s to %s: about a minute; this happens once", checkpoint.name, folder
        )
        export(checkpoint, folder)
    except CheckpointError:
        raise
    except ImportError as error:
        raise CheckpointError(not_installed(error)) from error
    except Exception as error:  # torch's exporter and onnx raise errors of many kinds
        # A lack of memory or of room on the disk may pass.
        kind = CheckpointError if _of_the_moment(error) else ExportRefused
        raise kind(
            f"{checkpoint.name} cannot be exported ({type(error).__name__}: {error}); use "
            "runtime='torch'"
        ) from error


def _note(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.refused.json")


def _of_the_moment(error: BaseException | None) -> bool:
    """Return whether the machine, and not the checkpoint, causes a failure."""
    while error:
        # torch has no class of its own for a lack of memory.
        if isinstance(error, OSError | MemoryError) or "memory" in str(error).lower():
            return True
        error = error.__cause__
    return False
