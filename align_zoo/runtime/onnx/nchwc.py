"""The image tower laid out for one kind of processor, as ``nchwc_rewrite`` writes it.

Such a graph uses ONNX Runtime's own operators, and fits one version of ONNX Runtime and processors
of one vector width. The folder's name has the version. Images with known embeddings show whether
the graph is right for the processor. The weights are mapped into memory, so any number of sessions
and processes shares one copy.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
import onnxruntime

from align_zoo.errors import CheckpointError
from align_zoo.runtime.machine import cores
from align_zoo.runtime.onnx.comparison import check, clearest, read_references
from align_zoo.runtime.onnx.manifest import REFERENCES, check_whole, digest
from align_zoo.runtime.onnx.sessions import open_session, run, unit

__all__ = [
    "GRAPH",
    "TOLERANCE",
    "WEIGHTS",
    "BlockedImage",
    "images_at_once",
    "layout_folder",
    "layouts",
    "open_blocked",
    "write_check",
]

GRAPH, WEIGHTS, _CHECK = "image.onnx", "image.weights", "check.json"

TOLERANCE = 1e-5
"""The error of the laid out graph's unit embeddings that is always accepted."""

_MOST_AT_ONCE = 4  # an image takes 100 MB of activations


def layout_folder(export: Path, block: int | str) -> Path:
    """Return the folder of an export's layout in blocks of ``block`` channels."""
    return export / f"blocked-{onnxruntime.__version__}-{block}"


def layouts(export: Path) -> list[Path]:
    """List an export's layouts for this version of ONNX Runtime and any processor."""
    return sorted(export.glob(layout_folder(export, "*").name))


def images_at_once(threads: int) -> int:
    """Choose how many images are computed side by side, each on as many threads as the others."""
    # Of six threads and of seven, three images get two each.
    best = max(_MOST_AT_ONCE, _MOST_AT_ONCE - 1, key=lambda count: threads // count * count)
    return min(threads, best)


class BlockedImage:
    """Computes unit embeddings [N, D] from pixels [N, C, H, W].

    All threads together compute a single image. ``images_at_once`` images share the threads out,
    which is faster: fewer threads wait for each other after every operator.

    Args:
        folder: the layout's folder.
        threads: CPU threads; as many as ``cores`` by default.

    Raises:
        CheckpointError: the graph cannot be loaded.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        threads, graph = threads or cores(), folder / GRAPH
        count = images_at_once(threads)
        self._together = open_session(graph, threads, optimize=False)
        self._apart = [open_session(graph, threads // count, optimize=False) for _ in range(count)]
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="tower")

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Embed a batch of one image size; multiples of ``images_at_once`` are the fastest."""
        ones = np.split(pixels, len(pixels))
        rows: list[np.ndarray] = []
        while len(ones) >= len(self._apart) > 1:
            some, ones = ones[: len(self._apart)], ones[len(self._apart) :]
            rows += self._pool.map(run, self._apart, repeat("embeds"), some)
        rows += [run(self._together, "embeds", one) for one in ones]
        return unit(np.concatenate(rows))

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Compute the last feature maps [N, D, h, w] of a batch of one image size."""
        ones = np.split(pixels, len(pixels))
        return np.concatenate([run(self._together, "features", one) for one in ones])


def open_blocked(folder: Path, threads: int | None = None) -> BlockedImage:
    """Open a layout, and check that it is whole and right for this processor.

    Args:
        folder: the layout's folder, in its export's folder.
        threads: CPU threads; as many as ``cores`` by default.

    Raises:
        CheckpointError: the folder is incomplete, damaged, or not for this processor.
    """
    _check_files(folder)
    known = clearest(read_references(folder.parent / REFERENCES))
    try:
        tower = BlockedImage(folder, threads)
        check(tower, [known], tolerance=TOLERANCE, what="the embeddings")
    except Exception as error:  # onnxruntime has a class of its own for each failure
        raise CheckpointError(f"{folder} is not for this processor: {error}") from error
    return tower


def write_check(folder: Path, references: Path) -> None:
    """Write the digests of a layout's files and of the references that it is compared with."""
    sha256 = {name: digest(folder / name) for name in (GRAPH, WEIGHTS)}
    content = {"sha256": {**sha256, REFERENCES: digest(references)}}
    (folder / _CHECK).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _check_files(folder: Path) -> None:
    path = folder / _CHECK
    try:
        sha256 = json.loads(path.read_text(encoding="utf-8"))["sha256"]
        check_whole(folder, {name: sha256[name] for name in (GRAPH, WEIGHTS)})
        check_whole(folder.parent, {REFERENCES: sha256[REFERENCES]})
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
