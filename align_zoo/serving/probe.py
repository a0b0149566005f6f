"""Health that means an answer: one real inference a model.

Triton's own live and ready stay true after a model's process has died.
"""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from align_zoo.errors import AlignZooError

__all__ = ["ModelHealth", "explain", "probe"]


@dataclass(frozen=True)
class ModelHealth:
    """What one model did when asked."""

    model: str
    error: str | None = None
    """Why there is no sound answer; None if there is one."""
    dim: int = 0
    """Width of its embedding."""
    checkpoint: str = ""
    """Fingerprint of what it serves."""
    seconds: float = 0.0


def probe(url: str, *, timeout: float = 10.0) -> list[ModelHealth]:
    """Ask ``align_image`` and ``align_text`` for one embedding each.

    Args:
        url: the server's gRPC address, "localhost:8001".
        timeout: seconds for each answer.

    Raises:
        AlignZooError: tritonclient is not installed.
    """
    try:
        from tritonclient import grpc
    except ImportError:
        raise AlignZooError(
            "a probe needs tritonclient: run `pip install 'align-zoo[server]'`"
        ) from None
    # A proxy named in the environment is for other servers than one's own. These arguments
    # replace tritonclient's, which are about messages far larger than a probe's.
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.InferenceServerClient(url, channel_args=options) as client:
        return [
            _ask(client, "align_image", "IMAGE", _picture(), timeout),
            _ask(client, "align_text", "TEXT", b"a photo of a cat", timeout),
        ]


def explain(health: Sequence[ModelHealth]) -> tuple[bool, str]:
    """Whether all is well, and one line that says why not, or what is served."""
    faults = [f"{each.model}: {each.error}" for each in health if each.error]
    if faults:
        return False, "; ".join(dict.fromkeys(faults))
    if len({each.checkpoint for each in health}) > 1:
        served = ", ".join(f"{each.model} serves {each.checkpoint}" for each in health)
        return False, f"the models serve different checkpoints: {served}"
    times = ", ".join(f"{each.model} {each.seconds * 1000:.0f} ms" for each in health)
    return True, f"ok: checkpoint {health[0].checkpoint}, {health[0].dim} wide; {times}"


def _ask(client: Any, model: str, name: str, item: bytes, timeout: float) -> ModelHealth:
    from tritonclient import grpc
    from tritonclient.utils import InferenceServerException

    tensor = grpc.InferInput(name, [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[item]], dtype=np.object_))
    begin = time.perf_counter()
    try:
        answer = client.infer(model, [tensor], client_timeout=timeout)
    except InferenceServerException as error:
        return ModelHealth(model, error=_reason(error, timeout))
    seconds = time.perf_counter() - begin
    embedding, checkpoint = answer.as_numpy("EMBEDDING"), answer.as_numpy("CHECKPOINT")
    if embedding is None or checkpoint is None:
        return ModelHealth(model, error="answers, but not as a model of align-zoo")
    if not np.isclose(np.linalg.norm(embedding), 1.0, atol=1e-3):  # false for NaN, too
        return ModelHealth(model, error="its embedding is no unit vector")
    return ModelHealth(
        model,
        dim=embedding.shape[-1],
        checkpoint=checkpoint.item().decode(),
        seconds=seconds,
    )


def _reason(error: Any, timeout: float) -> str:
    status = (error.status() or "").removeprefix("StatusCode.")
    if status == "DEADLINE_EXCEEDED":
        return f"no answer within {timeout:g} s"
    words = (error.message() or "").strip().splitlines() or ["no reason given"]
    return f"{status or 'ERROR'}: {words[0]}"


def _picture() -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(file, "PNG")
    return file.getvalue()
