"""What a model answers, and whether that keeps align-zoo's contract."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional

import numpy as np
from PIL import Image

from align_client.replicas import Replica
from align_client.shrink import NO_RESIZE, Resize

__all__ = ["Broken", "Row", "rows_of"]


class Row(NamedTuple):
    """What a model answers to one item."""

    vector: np.ndarray
    """Unit vector, float32 [D]."""
    checkpoint: str
    """Fingerprint of the checkpoint that computed it."""
    temperature: Optional[float]
    """The learned temperature; None from the image tower."""
    resize: Optional[Resize] = None
    """How the model resized the picture; None from the text tower."""
    replica: Optional[Replica] = None
    """Who answered."""


class Broken(Exception):
    """The answer is not what align-zoo's models give."""


def rows_of(result: Any, items: int, *, of_texts: bool, replica: Replica) -> List[Row]:
    """The rows of tritonclient's ``InferResult``.

    Raises:
        Broken: it breaks the contract.
    """
    vectors = _output(result, "EMBEDDING")
    if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != items:
        raise Broken(f"EMBEDDING is {vectors.dtype} {list(vectors.shape)} for {items} items")
    # Embedder in half precision give lengths some 1e-3 off. (np.allclose would take a third of what
    # this client adds to a call.)
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    if not (np.abs(lengths - 1) <= 0.01).all():  # so that NaN fails, too
        raise Broken("EMBEDDING has rows that are no unit vectors")
    checkpoint = _only(result, "CHECKPOINT")
    if isinstance(checkpoint, bytes):
        checkpoint = checkpoint.decode("utf-8", errors="replace")
    temperature, resize = None, None
    if of_texts:
        temperature = _only(result, "TEMPERATURE")
        if not isinstance(temperature, float) or not 0 < temperature < float("inf"):
            raise Broken(f"TEMPERATURE is {temperature}")
    else:
        resize = _resize(result)
    return [Row(vector, str(checkpoint), temperature, resize, replica) for vector in vectors]


def _resize(result: Any) -> Resize:
    if result.as_numpy("RESIZE") is None:
        return NO_RESIZE  # align-zoo's first servers do not say
    array = _output(result, "RESIZE")
    resize = Resize(*array.ravel().tolist()) if array.shape == (1, 3) else None
    if resize is None or (resize != NO_RESIZE and min(resize[:2]) < 1):
        raise Broken(f"RESIZE is {array.tolist()}")
    # A filter that only a newer PIL has: the server's to apply.
    if resize == NO_RESIZE or resize.resample not in list(Image.Resampling):
        return NO_RESIZE
    told = result.as_numpy("RESIZE_CHECK") is not None
    return resize._replace(check=_only(result, "RESIZE_CHECK")) if told else resize


def _only(result: Any, name: str) -> Any:
    values = set(_output(result, name).ravel().tolist())
    if len(values) != 1:
        raise Broken(f"{name} has {len(values)} values in one answer")
    return values.pop()


def _output(result: Any, name: str) -> np.ndarray:
    array: Optional[np.ndarray] = result.as_numpy(name)
    if array is None or array.size == 0:
        raise Broken(f"there is no output {name}")
    return array
