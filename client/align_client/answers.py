"""Reads the answers of the models and checks them against align-zoo's contract."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Union

import numpy as np
from PIL import Image

from align_client.errors import InvalidInput
from align_client.replicas import Replica
from align_client.shrink import NO_RESIZE, Resize

__all__ = ["Broken", "Row", "rows_of"]


class Row(NamedTuple):
    """The answer of a model to one item."""

    vector: np.ndarray
    """The unit vector, float32 [D]."""
    checkpoint: str
    """The fingerprint of the checkpoint that computed the vector."""
    temperature: Optional[float]
    """The learned temperature; None from the image model."""
    resize: Optional[Resize] = None
    """How the model resized the image; None from the text model."""
    replica: Optional[Replica] = None
    """The server that answered."""


class Broken(Exception):
    """The answer breaks the contract of align-zoo's models; the message says how."""


def rows_of(
    result: Any, items: int, *, of_texts: bool, replica: Replica, request_id: Optional[str] = None
) -> List[Union[Row, InvalidInput]]:
    """Return the rows of a response, with the error of a bad item in its place.

    Only a response to a request for errors has any; see ``Transport``.

    Args:
        result: tritonclient's ``InferResult``.
        items: how many items the request has.
        of_texts: whether the text model answered, not the image model.
        replica: the server that answered.
        request_id: the id of the request, for errors.

    Raises:
        Broken: the response breaks the contract.
    """
    vectors = _output(result, "EMBEDDING")
    if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != items:
        raise Broken(f"EMBEDDING is {vectors.dtype} {list(vectors.shape)} for {items} items")
    errors = _errors(result, items)
    # Vectors of half-precision towers have lengths up to about 1e-3 off 1. (np.allclose would take
    # a third of the time that this client adds to a call.)
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    sound = np.abs(lengths - 1) <= 0.01  # NaN fails, too
    if not all(unit or error for unit, error in zip(sound.tolist(), errors)):
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
    return [
        InvalidInput(error, request_id=request_id)
        if error
        else Row(vector, str(checkpoint), temperature, resize, replica)
        for vector, error in zip(vectors, errors)
    ]


def _errors(result: Any, items: int) -> List[str]:
    """Return the error of each item; empty for a sound item."""
    if result.as_numpy("ERROR") is None:
        return [""] * items
    errors = _output(result, "ERROR").ravel().tolist()
    if len(errors) != items or not all(isinstance(error, bytes) for error in errors):
        raise Broken(f"ERROR has {len(errors)} values for {items} items")
    return [error.decode("utf-8", errors="replace") for error in errors]


def _resize(result: Any) -> Resize:
    if result.as_numpy("RESIZE") is None:
        return NO_RESIZE  # align-zoo's first servers have no such output
    array = _output(result, "RESIZE")
    same = array.shape[1:] == (3,) and (array == array[0]).all()
    resize = Resize(*array[0].tolist()) if same else None
    if resize is None or (resize != NO_RESIZE and min(resize[:2]) < 1):
        raise Broken(f"RESIZE is {array.tolist()}")
    # A filter that this PIL lacks: only the server can apply it.
    if resize == NO_RESIZE or resize.resample not in list(Image.Resampling):
        return NO_RESIZE
    has_check = result.as_numpy("RESIZE_CHECK") is not None
    return resize._replace(check=_only(result, "RESIZE_CHECK")) if has_check else resize


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
