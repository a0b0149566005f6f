"""Triton's requests to a service's items, and its answers back to responses.

Imported only inside Triton's Python backend, which brings ``triton_python_backend_utils``.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import triton_python_backend_utils as pb_utils

from align_zoo.errors import AlignZooError, InvalidInput
from align_zoo.runtime.load import load_encoder
from align_zoo.serving.image_service import ImageService
from align_zoo.serving.per_request import embed_requests
from align_zoo.serving.settings import ServingSettings
from align_zoo.serving.text_service import TextService

__all__ = ["TritonAdapter"]


class Service(Protocol):
    """What the adapter needs of a tower."""

    input_name: str
    constants: dict[str, np.ndarray]

    def embed(self, items: Sequence[bytes]) -> list[np.ndarray | InvalidInput]:
        """One unit vector [D] for each item, or what is wrong with it."""


class TritonAdapter:
    """Serves one tower.

    Args:
        tower: "image" or "text".
        args: what Triton gives to ``initialize``.

    Raises:
        pb_utils.TritonModelException: the checkpoint cannot be loaded; Triton prints why.
    """

    def __init__(self, tower: str, args: Mapping[str, str]) -> None:
        try:
            self._service = _service(tower, args)
        except AlignZooError as error:
            raise pb_utils.TritonModelException(str(error)) from None

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response for each request, in order."""
        responses = [_cancelled() if request.is_cancelled() else None for request in requests]
        waiting = [i for i, response in enumerate(responses) if response is None]
        answers = self._answer([self._items(requests[i]) for i in waiting])
        for i, answer in zip(waiting, answers, strict=True):
            responses[i] = answer
        return responses

    def _items(self, request: Any) -> list[bytes]:
        tensor = pb_utils.get_input_tensor_by_name(request, self._service.input_name)
        return list(tensor.as_numpy().ravel())  # [N, 1] -> N

    def _answer(self, requests: list[list[bytes]]) -> list[Any]:
        if not requests:
            return []
        try:
            answers = embed_requests(requests, self._service.embed)
        # The border of the server: whatever goes wrong behind it (a bug, no memory left), every
        # request gets an answer, and only the one that causes it an error.
        except Exception as error:
            if len(requests) > 1:
                return [self._answer([request])[0] for request in requests]
            pb_utils.Logger.log_error(traceback.format_exc())
            reason = f"internal error ({type(error).__name__})"
            return [_error(reason, pb_utils.TritonError.INTERNAL)]
        return [self._response(answer) for answer in answers]

    def _response(self, answer: np.ndarray | InvalidInput) -> Any:
        if isinstance(answer, InvalidInput):
            return _error(str(answer), pb_utils.TritonError.INVALID_ARG)
        outputs = {
            "EMBEDDING": answer,
            **{name: np.tile(v, (len(answer), 1)) for name, v in self._service.constants.items()},
        }
        return pb_utils.InferenceResponse(
            output_tensors=[pb_utils.Tensor(name, array) for name, array in outputs.items()]
        )


def _service(tower: str, args: Mapping[str, str]) -> Service:
    settings = ServingSettings.from_env()
    encoder = load_encoder(
        settings.model,
        runtime=settings.runtime,
        dtype=settings.dtype,
        device=_device(args, settings.runtime),
        threads=settings.threads,
        revision=settings.revision,
    )
    pb_utils.Logger.log_info(
        f"align_{tower}: {settings.model} ({encoder.fingerprint}) in {encoder.explanation}"
    )
    if tower == "text":
        return TextService(encoder)
    parameters = json.loads(args["model_config"]).get("parameters", {})
    limits: dict[str, Any] = {
        name: int(parameters[name]["string_value"])
        for name in ("max_bytes", "max_pixels")
        if name in parameters
    }
    return ImageService(encoder, **limits)


def _device(args: Mapping[str, str], runtime: str) -> str:
    """Where Triton placed the instance, unless the runtime cannot compute there."""
    if args["model_instance_kind"] != "GPU" or runtime == "onnx":
        return "cpu"
    import torch  # here: a server on the CPU does without

    return f"cuda:{args['model_instance_device_id']}" if torch.cuda.is_available() else "cpu"


def _cancelled() -> Any:
    return _error("the caller has gone", pb_utils.TritonError.CANCELLED)


def _error(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
