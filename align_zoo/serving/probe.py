"""Health that means an answer: one real inference a model.

Triton's own live and ready stay true after a model's process has died.
"""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from align_zoo.errors import AlignZooError, to_install
from align_zoo.serving.access import OPEN, Access

__all__ = ["MODELS", "ModelHealth", "ask", "explain", "probe"]

MODELS = ("align_image", "align_text")

_UNIT_LENGTH_WITHIN = 1e-3


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


def probe(url: str, *, timeout: float = 10.0, access: Access = OPEN) -> list[ModelHealth]:
    """Ask ``align_image`` and ``align_text`` for one embedding each.

    Args:
        url: the server's gRPC address, "localhost:8001".
        timeout: seconds for each answer.
        access: TLS and token, if the server demands them.

    Raises:
        AlignZooError: tritonclient is not installed, or a file of ``access`` cannot be used.
    """
    protocol, grpc_stubs = _protocol()
    metadata = access.metadata()
    with access.channel(url) as channel:
        infer = grpc_stubs.GRPCInferenceServiceStub(channel).ModelInfer
        return [_ask(infer, protocol, model, timeout, metadata) for model in MODELS]


async def ask(channel: Any, model: str, timeout: float | None = None) -> ModelHealth:
    """Ask one model for one embedding, through a ``grpc.aio`` channel.

    Args:
        channel: to a tritonserver that listens, or will.
        model: one of ``MODELS``.
        timeout: seconds for the answer; None waits for ever.
    """
    from grpc.aio import AioRpcError

    protocol, grpc_stubs = _protocol()
    infer = grpc_stubs.GRPCInferenceServiceStub(channel).ModelInfer
    begin = time.perf_counter()
    try:
        answer = await infer(_request(protocol, model), timeout=timeout, wait_for_ready=True)
    except AioRpcError as error:
        return ModelHealth(model, error=_reason(error, timeout))
    return _health(model, answer, time.perf_counter() - begin)


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


def _ask(infer: Any, protocol: Any, model: str, timeout: float, metadata: Any) -> ModelHealth:
    from grpc import RpcError

    begin = time.perf_counter()
    try:
        answer = infer(_request(protocol, model), timeout=timeout, metadata=metadata)
    except RpcError as error:
        return ModelHealth(model, error=_reason(error, timeout))
    return _health(model, answer, time.perf_counter() - begin)


def _request(protocol: Any, model: str) -> Any:
    request = protocol.ModelInferRequest(model_name=model)
    name, item = ("IMAGE", _picture()) if model == "align_image" else ("TEXT", _text())
    tensor = request.inputs.add(name=name, datatype="BYTES", shape=[1, 1])
    tensor.contents.bytes_contents.append(item)
    return request


def _health(model: str, answer: Any, seconds: float) -> ModelHealth:
    from tritonclient.grpc import InferResult

    result = InferResult(answer)
    embedding, checkpoint = result.as_numpy("EMBEDDING"), result.as_numpy("CHECKPOINT")
    if embedding is None or checkpoint is None:
        return ModelHealth(model, error="answers, but not as a model of align-zoo")
    length = np.linalg.norm(embedding)
    if not np.isclose(length, 1.0, atol=_UNIT_LENGTH_WITHIN):  # false for NaN, too
        return ModelHealth(model, error="its embedding is no unit vector")
    name = checkpoint.item().decode()
    return ModelHealth(model, dim=embedding.shape[-1], checkpoint=name, seconds=seconds)


def _reason(error: Any, timeout: float | None) -> str:
    status = error.code().name
    if status == "DEADLINE_EXCEEDED" and timeout:
        return f"no answer within {timeout:g} s"
    words = (error.details() or "").strip().splitlines() or ["no reason given"]
    return f"{status}: {words[0]}"


@cache
def _picture() -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(file, "PNG")
    return file.getvalue()


def _text() -> bytes:
    # Another one each time: the vectors of texts it has seen the server does not compute again.
    return b"a photo of %x" % time.time_ns()


def _protocol() -> tuple[Any, Any]:
    try:
        from tritonclient.grpc import service_pb2, service_pb2_grpc
    except ImportError:
        raise AlignZooError(f"a probe needs tritonclient: {to_install('.[gateway]')}") from None
    return service_pb2, service_pb2_grpc
