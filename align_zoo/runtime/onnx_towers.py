"""The towers in ONNX Runtime: arrays in, unit embeddings out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from align_zoo.errors import CheckpointError

__all__ = ["IMAGES_AT_ONCE", "OnnxImage", "OnnxText"]

_CPU = ["CPUExecutionProvider"]
IMAGES_AT_ONCE = 4
"""Batching gains nothing on a CPU, and beyond this the activations leave the caches."""


class OnnxImage:
    """Pixels [N, 3, H, W] to unit embeddings [N, D].

    Args:
        path: the exported graph.
        threads: CPU threads; all cores by default.

    Raises:
        CheckpointError: the file cannot be loaded.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self._session = _session(path, threads)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Any batch of one picture size; up to ``IMAGES_AT_ONCE`` is fastest."""
        return _unit(self._session.run(None, {"pixels": pixels})[0])


class OnnxText:
    """Token ids and mask [N, L] to unit embeddings [N, D].

    Args:
        path: the exported graph.
        threads: CPU threads; all cores by default.

    Raises:
        CheckpointError: the file cannot be loaded.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self._session = _session(path, threads)

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Any batch, padded to one length."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        return _unit(self._session.run(None, inputs)[0])


def _session(path: Path, threads: int | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=_CPU)
    except Exception as error:  # onnxruntime has a class of its own for each failure
        raise CheckpointError(f"{path} cannot be loaded: {error}") from error


def _unit(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(norms, 1e-12), dtype=np.float32)
