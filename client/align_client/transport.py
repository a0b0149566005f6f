"""One request to Triton: what goes over the wire, and whether the answer keeps the contract."""

from __future__ import annotations

import re
import time
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, TypeVar

import numpy as np
from PIL import Image
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from align_client.errors import (
    AlignClientError,
    InvalidInput,
    ModelUnavailable,
    breaks_contract,
    from_triton,
    too_late,
)
from align_client.images import MAX_BYTES
from align_client.shrink import NO_RESIZE, Resize

__all__ = ["IMAGE_MODEL", "TEXT_MODEL", "Deadline", "Row", "Transport"]

IMAGE_MODEL = "align_image"
TEXT_MODEL = "align_text"

T = TypeVar("T")

# tritonclient replaces its own defaults by this list, so message sizes are named as well.
_CHANNEL = [
    # The payload, and room for names and shapes around it.
    ("grpc.max_send_message_length", MAX_BYTES + 1_000_000),
    ("grpc.max_receive_message_length", MAX_BYTES + 1_000_000),
    # Else gRPC waits up to two minutes before it looks again for a server that was away.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
]


class Deadline:
    """The moment until which one public call may take.

    Args:
        timeout: seconds from now.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._end = time.monotonic() + timeout

    def left(self) -> float:
        """Seconds left, 0 or less when it has passed."""
        return self._end - time.monotonic()


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


class Transport:
    """Requests to one server, each with its deadline. Safe to share between threads.

    Args:
        url: host:port of Triton's gRPC.

    Every method raises :class:`AlignClientError`'s subclasses as :func:`from_triton` tells them,
    and ModelUnavailable where the answer is not of align-zoo's models.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._closed = False
        self._max_batch: Optional[int] = None
        # A proxy named in the environment cannot reach this machine's own addresses.
        own = re.match(r"localhost:|127\.|\[::1\]", url) is not None
        self._triton = InferenceServerClient(
            url, channel_args=[*_CHANNEL, ("grpc.enable_http_proxy", int(not own))]
        )

    def close(self) -> None:
        """Close the connection; calls under way end with AlignClientError."""
        self._closed = True
        self._triton.close()

    def check_open(self) -> None:
        """Raise AlignClientError if :meth:`close` was called."""
        if self._closed:
            raise AlignClientError(f"this client of {self.url} is closed")

    def ready(self, deadline: Deadline) -> bool:
        """Whether the server and both models say that they are ready."""
        return self._call("server", self._triton.is_server_ready, deadline) and all(
            self._call(model, self._triton.is_model_ready, deadline, model)
            for model in (IMAGE_MODEL, TEXT_MODEL)
        )

    def max_texts(self, deadline: Deadline) -> int:
        """How many texts one request may carry, from the model's configuration."""
        if self._max_batch is None:
            config = self._call(TEXT_MODEL, self._triton.get_model_config, deadline, TEXT_MODEL)
            size = config.config.max_batch_size
            if size < 1:
                raise breaks_contract(self.url, TEXT_MODEL, "it does not batch")
            self._max_batch = size
        return self._max_batch

    def embed_image(self, data: bytes, deadline: Deadline) -> Row:
        """Embed one encoded image."""
        return self._embed(IMAGE_MODEL, "IMAGE", [data], deadline)[0]

    def embed_texts(self, texts: Sequence[str], deadline: Deadline) -> List[Row]:
        """Embed at most :meth:`max_texts` texts in one request."""
        try:
            return self._embed(TEXT_MODEL, "TEXT", [t.encode("utf-8") for t in texts], deadline)
        except ModelUnavailable:
            self._max_batch = None  # another model may come, with another batch size
            raise

    def _embed(
        self, model: str, input_name: str, items: List[bytes], deadline: Deadline
    ) -> List[Row]:
        tensor = InferInput(input_name, [len(items), 1], "BYTES")
        try:
            tensor.set_data_from_numpy(np.array([[item] for item in items], dtype=np.object_))
        except InferenceServerException as error:
            raise InvalidInput(f"the request cannot be written: {error}") from error
        result = self._call(model, self._triton.infer, deadline, model, [tensor])
        try:
            return _rows(result, len(items), of_texts=model == TEXT_MODEL)
        except _Broken as error:
            raise breaks_contract(self.url, model, str(error)) from error

    def _call(self, model: str, method: Callable[..., T], deadline: Deadline, *args: Any) -> T:
        self.check_open()
        left = deadline.left()
        if left <= 0:
            raise too_late(self.url, deadline.timeout)
        try:
            return method(*args, client_timeout=left)
        except InferenceServerException as error:
            self.check_open()
            raise from_triton(error, url=self.url, model=model, timeout=deadline.timeout) from error
        except ValueError as error:  # grpc's word for a channel closed meanwhile
            self.check_open()
            raise AlignClientError(f"{model} on {self.url}: {error}") from error


class _Broken(Exception):
    """The answer is not what align-zoo's models give."""


def _rows(result: Any, items: int, *, of_texts: bool) -> List[Row]:
    vectors = _output(result, "EMBEDDING")
    if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != items:
        raise _Broken(f"EMBEDDING is {vectors.dtype} {list(vectors.shape)} for {items} items")
    # Towers in half precision give lengths some 1e-3 off.
    if not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=0.01):
        raise _Broken("EMBEDDING has rows that are no unit vectors")
    checkpoint = _only(result, "CHECKPOINT")
    if isinstance(checkpoint, bytes):
        checkpoint = checkpoint.decode("utf-8", errors="replace")
    temperature, resize = None, None
    if of_texts:
        temperature = _only(result, "TEMPERATURE")
        if not isinstance(temperature, float) or not 0 < temperature < float("inf"):
            raise _Broken(f"TEMPERATURE is {temperature}")
    else:
        resize = _resize(result)
    return [Row(vector, str(checkpoint), temperature, resize) for vector in vectors]


def _resize(result: Any) -> Resize:
    if result.as_numpy("RESIZE") is None:
        return NO_RESIZE  # align-zoo's first servers do not say
    array = _output(result, "RESIZE")
    resize = Resize(*array.ravel().tolist()) if array.shape == (1, 3) else None
    if resize is None or (resize != NO_RESIZE and min(resize[:2]) < 1):
        raise _Broken(f"RESIZE is {array.tolist()}")
    # A filter that only a newer PIL has: the server's to apply.
    return resize if resize.resample in list(Image.Resampling) else NO_RESIZE


def _only(result: Any, name: str) -> Any:
    values = set(_output(result, name).ravel().tolist())
    if len(values) != 1:
        raise _Broken(f"{name} has {len(values)} values in one answer")
    return values.pop()


def _output(result: Any, name: str) -> np.ndarray:
    array: Optional[np.ndarray] = result.as_numpy(name)
    if array is None or array.size == 0:
        raise _Broken(f"there is no output {name}")
    return array
