"""The towers in ONNX Runtime: arrays in, unit embeddings out."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime

from align_zoo.errors import CheckpointError, InvalidImage
from align_zoo.runtime.encoder import ImageTower
from align_zoo.runtime.machine import cores, give_back

__all__ = [
    "CPU",
    "PADDING_A_CALL",
    "TEXTS_AT_ONCE",
    "OnnxImage",
    "OnnxText",
    "from_side",
    "open_session",
    "unit",
]

CPU = ["CPUExecutionProvider"]
TEXTS_AT_ONCE = 32
"""Calls of 64 save some 2 % of the time, and take twice the memory: 300 MB for the longest."""
PADDING_A_CALL = 200
"""Of align-base on two cores: a call takes 10 ms, a token 1.2 ms and one of padding 0.05 ms."""
_MANY_TOKENS = 128
"""A call of so many takes 150 ms, beside which fetching its memory anew is nothing."""
_AS_REQUESTED = 1
"""ONNX Runtime's ArenaExtendStrategy: grow by what is needed, not to the next power of two."""


class OnnxImage:
    """Pixels [N, 3, H, W] to unit embeddings [N, D].

    Args:
        path: the exported graph.
        threads: CPU threads; as many as ``cores`` by default.

    Raises:
        CheckpointError: the file cannot be loaded.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self._session = open_session(path, threads)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Any batch of one image size, which takes 100 MB of activations an image."""
        return unit(self._session.run(None, {"pixels": pixels})[0])


class OnnxText:
    """Token ids and mask [N, L] to unit embeddings [N, D].

    Args:
        path: the exported graph.
        threads: CPU threads; as many as ``cores`` by default.

    Raises:
        CheckpointError: the file cannot be loaded.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self._session = open_session(path, threads)
        # Else the arena keeps a place for each size that ever came.
        self._returning = onnxruntime.RunOptions()
        self._returning.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Any batch, padded to one length behind the texts."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if attention_mask.sum() <= _MANY_TOKENS:
            return unit(self._session.run(None, inputs)[0])
        embeds = unit(self._session.run(None, inputs, self._returning)[0])
        give_back()
        return embeds


def from_side(smallest: int, tower: ImageTower) -> ImageTower:
    """The tower, for images whose sides are not below ``smallest``."""

    def checked(pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[2:]
        if min(height, width) < smallest:
            raise InvalidImage(
                f"the pixels are {height} x {width}; this tower takes sides of {smallest} and more",
                "too_small",
            )
        return tower(pixels)

    return checked


def open_session(
    path: Path, threads: int | None, *, optimize: bool = True
) -> onnxruntime.InferenceSession:
    """Open a graph in ONNX Runtime, on the CPU.

    Args:
        path: the graph.
        threads: CPU threads; as many as ``cores`` by default.
        optimize: whether its optimizer shall work on the graph first.

    Raises:
        CheckpointError: the file cannot be loaded.
    """
    _register_arena()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads = threads or cores()
    # A plan lays the maps of a run over each other at any offset, so that one core writes over
    # what another has in its cache: where they share none, a twentieth of an image's time.
    options.enable_mem_pattern = threads == 1
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Its threads spin while they wait for work within a run, which is fast; after it, they would
    # only keep the cores from those who carry the answer away.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=CPU)
    except Exception as error:  # onnxruntime has a class of its own for each failure
        raise CheckpointError(f"{path} cannot be loaded: {error}") from error
    give_back()  # its optimizer frees a second copy of the weights
    return session


@cache
def _register_arena() -> None:
    """Once a process; only sessions that ask for it use it."""
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu",
        onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR,
        0,
        onnxruntime.OrtMemType.DEFAULT,
    )
    # No limit; and the defaults (-1) of the first chunk and of the waste that is borne.
    arena = onnxruntime.OrtArenaCfg(0, _AS_REQUESTED, -1, -1)
    onnxruntime.create_and_register_allocator(memory, arena)


def unit(rows: np.ndarray) -> np.ndarray:
    """Scale rows [N, D] to length 1."""
    with np.errstate(under="ignore"):  # the square of a small number, of no weight in the sum
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray(rows / np.maximum(norms, 1e-12), dtype=np.float32)
