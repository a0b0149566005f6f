"""The towers in ONNX Runtime, from arrays to unit embeddings."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime

from align_zoo.errors import CheckpointError, InvalidImage
from align_zoo.runtime.machine import cores, give_back
from align_zoo.runtime.tower import ImageTower

__all__ = [
    "CPU",
    "PADDING_A_CALL",
    "TEXTS_AT_ONCE",
    "FromSide",
    "OnnxImage",
    "OnnxText",
    "open_session",
    "run",
    "unit",
]

CPU = ["CPUExecutionProvider"]
TEXTS_AT_ONCE = 32
"""The texts in a call. 64 save some 2 % of the time, and take twice the memory: 300 MB for the
longest texts."""
PADDING_A_CALL = 200
"""The cost of a call, in tokens of padding. For align-base on two cores a call takes 10 ms, a
token 1.2 ms and a token of padding 0.05 ms."""
_MANY_TOKENS = 128
"""A call of so many tokens takes 150 ms, so that the time to fetch its memory again is nothing."""
_AS_REQUESTED = 1
"""ONNX Runtime's ArenaExtendStrategy: grow by the bytes requested, not to a power of two."""


class OnnxImage:
    """Computes unit embeddings [N, D] from pixels [N, 3, H, W].

    Args:
        path: the exported graph.
        threads: CPU threads; as many as ``cores`` by default.
        at_once: the most images in a run, which takes 100 MB of activations for each; all by
            default.

    Raises:
        CheckpointError: the file cannot be loaded.
    """

    def __init__(
        self, path: Path, threads: int | None = None, *, at_once: int | None = None
    ) -> None:
        self._session, self._at_once = open_session(path, threads), at_once

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Embed a batch of one image size."""
        return unit(self._run("embeds", pixels))

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Compute the last feature maps [N, D, h, w] of a batch of one image size."""
        return self._run("features", pixels)

    def _run(self, output: str, pixels: np.ndarray) -> np.ndarray:
        step = self._at_once or len(pixels)
        pieces = [pixels[i : i + step] for i in range(0, len(pixels), step)]
        return np.concatenate([run(self._session, output, piece) for piece in pieces])


class OnnxText:
    """Computes unit embeddings [N, D] from token ids and mask [N, L].

    Args:
        path: the exported graph.
        threads: CPU threads; as many as ``cores`` by default.

    Raises:
        CheckpointError: the file cannot be loaded.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self._session = open_session(path, threads)
        # Without shrinkage the arena keeps memory for each size that ever came.
        self._returning = onnxruntime.RunOptions()
        self._returning.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Embed a batch of texts that are padded at their end to one length."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if attention_mask.sum() <= _MANY_TOKENS:
            return unit(self._session.run(None, inputs)[0])
        embeds = unit(self._session.run(None, inputs, self._returning)[0])
        give_back()
        return embeds


class FromSide:
    """An image tower that refuses images with a side below ``smallest``."""

    def __init__(self, smallest: int, tower: ImageTower) -> None:
        self._smallest, self._tower = smallest, tower

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Embed a batch of one image size."""
        return self._tower(self._checked(pixels))

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Compute the last feature maps [N, D, h, w] of a batch of one image size."""
        return self._tower.features(self._checked(pixels))

    def _checked(self, pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[2:]
        if min(height, width) < self._smallest:
            raise InvalidImage(
                f"the pixels are {height} x {width}; this tower takes sides of {self._smallest} "
                "and more",
                "too_small",
            )
        return pixels


def run(session: onnxruntime.InferenceSession, output: str, pixels: np.ndarray) -> np.ndarray:
    """Run an image tower's graph for one of its outputs, "embeds" or "features"."""
    (array,) = session.run([output], {"pixels": pixels})
    return np.asarray(array)


def open_session(
    path: Path, threads: int | None, *, optimize: bool = True
) -> onnxruntime.InferenceSession:
    """Open a graph in ONNX Runtime, on the CPU.

    Args:
        path: the graph.
        threads: CPU threads; as many as ``cores`` by default.
        optimize: whether ONNX Runtime optimizes the graph.

    Raises:
        CheckpointError: the file cannot be loaded.
    """
    _register_arena()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads = threads or cores()
    # A memory pattern lays the maps of a run over each other at any offset, so that a core writes
    # to addresses in another core's cache. Without a shared cache that costs a twentieth of an
    # image's time.
    options.enable_mem_pattern = threads == 1
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Threads that spin while they wait for work within a run are fast. After the run, they would
    # only take the cores from the threads that return the answer.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=CPU)
    except Exception as error:  # onnxruntime has a class of its own for each failure
        raise CheckpointError(f"{path} cannot be loaded: {error}") from error
    give_back()  # the optimizer has freed a second copy of the weights
    return session


@cache
def _register_arena() -> None:
    """Register the arena once in a process, for the sessions that ask for it."""
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu",
        onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR,
        0,
        onnxruntime.OrtMemType.DEFAULT,
    )
    # No limit, and the defaults (-1) of the first chunk and of the tolerated waste.
    arena = onnxruntime.OrtArenaCfg(0, _AS_REQUESTED, -1, -1)
    onnxruntime.create_and_register_allocator(memory, arena)


def unit(rows: np.ndarray) -> np.ndarray:
    """Scale rows [N, D] to length 1."""
    with np.errstate(under="ignore"):  # the square of a small number does not change the sum
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray(rows / np.maximum(norms, 1e-12), dtype=np.float32)
