"""The image tower of an export: laid out for this processor, and where that fails as exported."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock

from align_zoo.errors import CheckpointError
from align_zoo.runtime.blocked import BlockedImage, layouts
from align_zoo.runtime.cache import find_or_export
from align_zoo.runtime.encoder import ImageTower
from align_zoo.runtime.exported import IMAGE
from align_zoo.runtime.onnx_towers import OnnxImage

__all__ = ["open_image"]

_log = logging.getLogger(__name__)


def open_image(
    folder: Path, channels: int, threads: int | None, export: Callable[[], None]
) -> ImageTower:
    """The fastest graph of an exported image tower that this machine can run.

    Args:
        folder: the export's.
        channels: of its pictures.
        threads: CPU threads; as many as ``cores`` by default.
        export: makes the export again, should it be damaged.

    Raises:
        CheckpointError: the exported tower is damaged and cannot be exported again.
    """
    if laid_out := _laid_out(folder, threads):
        return laid_out
    find_or_export(folder, (IMAGE,), export)
    try:
        with FileLock(folder.with_suffix(".lock")):
            # Another process may have made it while this one waited.
            return _laid_out(folder, threads) or _lay_out(folder, channels, threads)
    except Exception as error:  # whatever hinders an optimization must not hinder the service
        _log.warning("the image tower runs as exported, more slowly: %s", error)
    tower = OnnxImage(folder / IMAGE, threads)
    # A batch gains nothing on a CPU, and each further picture takes 100 MB of activations.
    return lambda pixels: np.concatenate([tower(one) for one in np.split(pixels, len(pixels))])


def _laid_out(folder: Path, threads: int | None) -> BlockedImage | None:
    for layout in layouts(folder):
        try:
            return BlockedImage(layout, threads)
        except CheckpointError as error:
            _log.info("%s", error)
    return None


def _lay_out(folder: Path, channels: int, threads: int | None) -> BlockedImage:
    from align_zoo.runtime.blocking import lay_out  # imports onnx, once a machine

    return BlockedImage(lay_out(folder / IMAGE, channels), threads)
