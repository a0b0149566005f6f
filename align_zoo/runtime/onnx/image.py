"""Opens the image tower of an export: laid out for this processor, or else as exported."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from align_zoo.errors import CheckpointError
from align_zoo.runtime.onnx import refusals
from align_zoo.runtime.onnx.manifest import IMAGE, find_or_export
from align_zoo.runtime.onnx.nchwc import BlockedImage, layouts, open_blocked
from align_zoo.runtime.onnx.sessions import OnnxImage
from align_zoo.runtime.tower import ImageTower

__all__ = ["layout_note", "open_image"]

_log = logging.getLogger(__name__)

_LAID_OUT = ("x86_64", "amd64")
"""Machines for which a layout in blocks is known."""
_OF_THE_MOMENT = (OSError, MemoryError, ImportError)
"""Failures after which the next start tries again."""


def open_image(
    folder: Path, threads: int | None, export: Callable[[], None]
) -> tuple[ImageTower, str | None]:
    """Open the fastest graph of an exported image tower that this machine can run.

    Args:
        folder: the export's folder.
        threads: CPU threads; as many as ``cores`` by default.
        export: makes the export again if it is damaged.

    Returns:
        The tower, and the reason why the tower is not laid out for this processor. The reason is
        None if the tower is laid out, or if no layout is known for such processors.

    Raises:
        CheckpointError: the exported tower is damaged and cannot be exported again.
    """
    if laid_out := _laid_out(folder, threads):
        return laid_out, None
    find_or_export(folder, (IMAGE,), export)
    machine, why = platform.machine(), None
    if machine.lower() in _LAID_OUT:
        try:
            return _lay_out_once(folder, threads), None
        except Exception as error:  # a failed optimization must not stop the service
            why = str(error)
    reason = why or f"no layout in blocks is known for {machine}"
    _log.warning("the image tower runs as exported, more slowly: %s", reason)
    return OnnxImage(folder / IMAGE, threads, at_once=1), why  # a batch gains nothing on a CPU


def layout_note(folder: Path) -> Path:
    """Return the file that notes the refusal of an export's layout."""
    return folder / "blocked.refused.json"


def _laid_out(folder: Path, threads: int | None) -> BlockedImage | None:
    for layout in layouts(folder):
        try:
            return open_blocked(layout, threads)
        except CheckpointError as error:
            _log.info("%s", error)
    return None


def _lay_out_once(folder: Path, threads: int | None) -> BlockedImage:
    with FileLock(folder.with_suffix(".lock")):
        # Another process may have made the layout, or failed, while this process waited.
        if laid_out := _laid_out(folder, threads):
            return laid_out
        if refused := refusals.recall(layout_note(folder)):
            raise CheckpointError(refused)
        try:
            return _lay_out(folder, threads)
        except Exception as error:
            if not isinstance(error.__cause__ or error, _OF_THE_MOMENT):
                refusals.remember(layout_note(folder), str(error))
            raise


def _lay_out(folder: Path, threads: int | None) -> BlockedImage:
    from align_zoo.runtime.onnx.nchwc_rewrite import lay_out  # imports onnx, once a machine

    return open_blocked(lay_out(folder / IMAGE), threads)
