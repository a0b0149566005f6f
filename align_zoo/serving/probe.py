"""A health check by real inferences, one for each model.

Triton's own live and ready stay true after a model's process has died.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from align_zoo.errors import AlignZooError, to_install
from align_zoo.serving.credentials import OPEN, Access

__all__ = ["MODELS", "ModelHealth", "ask", "explain", "probe"]

MODELS = ("align_image", "align_text")

_UNIT_LENGTH_WITHIN = 1e-3

_PORTS = "align-zoo's gRPC is on port 8001, HTTP on 8000, metrics on 8002"
# Patterns of gRPC's messages, and their meaning for a caller; the first match counts.
_MEANINGS = (
    (r"Connection refused", "nobody listens there"),
    (r"DNS resolution|errors resolving|domain name", "there is no such host"),
    (
        r"WRONG_VERSION_NUMBER",
        "what listens there speaks no TLS: leave --tls-ca and --tls-cert out, or check the port",
    ),
    (r"missing selected ALPN", f"what listens there speaks TLS but no gRPC: {_PORTS}"),
    (r"Failed parsing HTTP/2", f"what listens there is no gRPC: {_PORTS}"),
    (
        r"CERTIFICATE_VERIFY_FAILED|[Hh]ostname [Vv]erification",
        "the server's certificate is not accepted: --tls-ca names its authorities",
    ),
    (
        r"failed to connect.*(Socket closed|reset by peer|Handshake read failed)",
        "what listens there hangs up: it wants TLS (--tls-ca) or a certificate (--tls-cert), or "
        f"is no gRPC; {_PORTS}",
    ),
    (r"^UNAUTHENTICATED", "the server wants a token that it knows: --token-file"),
    (r"^UNIMPLEMENTED", "what listens there speaks gRPC but is no Triton"),
)


@dataclass(frozen=True)
class ModelHealth:
    """The result of one request to one model."""

    model: str
    error: str | None = None
    """The reason why there is no sound answer; None if the answer is sound."""
    dim: int = 0
    """The width of the embedding."""
    checkpoint: str = ""
    """The fingerprint of the served checkpoint."""
    runtime: str = ""
    """The runtime, the reason for its choice, and its cost if another runtime would be faster."""
    seconds: float = 0.0


def probe(url: str, *, timeout: float = 10.0, access: Access = OPEN) -> list[ModelHealth]:
    """Request one embedding from each of ``align_image`` and ``align_text``.

    Args:
        url: the server's gRPC address, "localhost:8001".
        timeout: the longest wait for each answer, in seconds.
        access: the credentials that the server demands.

    Raises:
        AlignZooError: tritonclient is not installed, or a file of ``access`` cannot be used.
    """
    protocol, grpc_stubs = _protocol()
    metadata = access.metadata()
    with access.channel(url) as channel:
        infer = grpc_stubs.GRPCInferenceServiceStub(channel).ModelInfer
        return [_ask(infer, protocol, model, timeout, metadata) for model in MODELS]


async def ask(channel: Any, model: str, timeout: float | None = None) -> ModelHealth:
    """Request one embedding from one model, through a ``grpc.aio`` channel.

    Args:
        channel: a channel to a tritonserver that listens, or will listen.
        model: a name of ``MODELS``.
        timeout: the longest wait for the answer in seconds; None waits without end.
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
    """Return whether both models are healthy, and one line with the fault or the checkpoint."""
    errors = {each.error for each in health}
    if len(errors) == 1 and None not in errors:  # the server's or the way's, not a model's
        return False, errors.pop() or ""
    if faults := [f"{each.model}: {each.error}" for each in health if each.error]:
        return False, "; ".join(faults)
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
    name, item = ("IMAGE", _image()) if model == "align_image" else ("TEXT", _text())
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
    runtime = result.as_numpy("RUNTIME")
    return ModelHealth(
        model,
        dim=embedding.shape[-1],
        checkpoint=checkpoint.item().decode(),
        runtime="" if runtime is None else runtime.item().decode("utf-8", "replace"),
        seconds=seconds,
    )


def _reason(error: Any, timeout: float | None) -> str:
    status = error.code().name
    if status == "DEADLINE_EXCEEDED" and timeout:
        return f"no answer within {timeout:g} s"
    words = (error.details() or "").strip().splitlines() or ["no reason given"]
    said = f"{status}: {words[0]}"
    plain = (meaning for pattern, meaning in _MEANINGS if re.search(pattern, said))
    return f"{meaning} ({said})" if (meaning := next(plain, None)) else said


@cache
def _image() -> bytes:
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
