"""The adapter between Triton's requests and a service's items, and back to responses.

Imported only inside Triton's Python backend, which brings ``triton_python_backend_utils``.
"""

from __future__ import annotations

import json
import time
import traceback
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, Protocol

import numpy as np
import triton_python_backend_utils as pb_utils

from align_zoo.errors import AlignZooError, InvalidInput
from align_zoo.runtime.load import load_encoder
from align_zoo.runtime.machine import keep_some, spare_what_stays
from align_zoo.serving.model.answer import Answer, embed_requests, joined, with_errors
from align_zoo.serving.model.image import ImageService
from align_zoo.serving.model.metrics import ModelMetrics
from align_zoo.serving.model.outputs import FEATURES, of_features
from align_zoo.serving.model.settings import ServingSettings, image_limits
from align_zoo.serving.model.text import TextService

__all__ = ["TritonAdapter"]

_IDLE_SECONDS = 0.002
"""The idle time after which a new request has not waited: a request that waits in Triton nearly
always arrives sooner, and otherwise is computed in vain at worst."""
_SECONDS_BETWEEN_LINES = 0.1
"""Many requests with bad items must not fill the disk."""

Compute = Callable[[Sequence[bytes]], Iterable[Sequence[Answer]]]


class Service(Protocol):
    """The interface of a tower for the adapter."""

    input_name: str
    reasons: tuple[str, ...]
    counts: dict[str, int]
    slowdown: float
    constants: dict[str, np.ndarray]
    width: int

    def portions(self, items: Sequence[bytes]) -> Iterable[Sequence[Answer]]:
        """Yield one unit vector [D], or one error, for each item, in portions as they are ready."""

    def features(self, items: Sequence[bytes]) -> Iterable[Sequence[Answer]]:
        """Yield one feature map [D, h, w], or one error, for each item, as ``portions`` does."""

    def beside(self, items: Sequence[bytes]) -> dict[str, np.ndarray]:
        """Return further outputs [N, ...] of N items that were answered just now.

        A bad item, which has an error in place of its vector, gets zeros.
        """


class TritonAdapter:
    """Serves one tower to Triton.

    >>> adapter = TritonAdapter("text", args)
    >>> responses = adapter.execute(requests)

    Args:
        tower: "image" or "text".
        args: the arguments of ``initialize``, from Triton.

    Raises:
        pb_utils.TritonModelException: the checkpoint cannot be loaded; Triton prints the reason.
    """

    def __init__(self, tower: str, args: Mapping[str, str]) -> None:
        # Pillow's warnings quote hostile files, and Python keeps each different warning.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        keep_some()
        try:
            self._service = _service(tower, args)
        except AlignZooError as error:
            raise pb_utils.TritonModelException(_printable(str(error))) from None
        self._metrics = ModelMetrics(
            args["model_name"],
            self._service.reasons,
            self._service.counts,
            self._service.slowdown,
        )
        outputs = json.loads(args["model_config"])["output"]
        self._outputs = {output["name"] for output in outputs} - {"ERROR"}
        self._ended = 0.0
        self._logged = -_SECONDS_BETWEEN_LINES
        self._unlogged = 0
        self._repeated: dict[int, dict[str, np.ndarray]] = {}
        spare_what_stays()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Return one response for each request, in order; None for requests answered earlier.

        Responses that are ready early are sent at once. The last responses are returned together,
        which is faster in Triton.
        """
        # A request to an idle model has not waited, so its caller has not left. Asking Triton
        # takes half a millisecond per request.
        idle = time.monotonic() - self._ended > _IDLE_SECONDS
        responses = [
            _cancelled() if not idle and request.is_cancelled() else None for request in requests
        ]
        waiting = deque(i for i, response in enumerate(responses) if response is None)
        for portion in self._answer([requests[i] for i in waiting]):
            ready = [waiting.popleft() for _ in portion]
            for i, response in zip(ready, portion, strict=True):
                if waiting:
                    _send(requests[i], response)
                else:
                    responses[i] = response
        self._ended = time.monotonic()
        return responses

    def _items(self, request: Any) -> list[bytes]:
        tensor = pb_utils.get_input_tensor_by_name(request, self._service.input_name)
        return list(tensor.as_numpy().ravel())  # [N, 1] -> N

    def _answer(self, requests: list[Any]) -> Iterator[list[Any]]:
        """Yield responses in the order of the requests, in portions that are ready together."""
        left = deque(requests)
        try:
            for wants_features, group in groupby(requests, partial(self._names, output=FEATURES)):
                several = list(group)
                items = [self._items(each) for each in several]
                compute = self._service.features if wants_features else self._service.portions
                unanswered = zip(several, items, strict=True)
                for answers in embed_requests(items, partial(self._embed, compute)):
                    portion = [self._response(*next(unanswered), each) for each in answers]
                    for _ in portion:
                        left.popleft()
                    yield portion
        # The outermost handler: after any failure (a bug, no memory left) every request gets an
        # answer, and only the request that causes the failure gets an error.
        except Exception as error:
            if len(requests) > 1:
                for request in left:
                    yield from self._answer([request])
                return
            reason = f"internal error ({type(error).__name__})"
            pb_utils.Logger.log_error(f"request {_name(requests[0])}: {reason}\n{_where(error)}")
            yield [_error(reason, pb_utils.TritonError.INTERNAL)]

    def _names(self, request: Any, *, output: str) -> bool:
        """Return whether a request names an output, and not all outputs as if it named none.

        The feature map of an image is some eighty times as large as its embedding.
        """
        names = request.requested_output_names()
        return output in names and not self._outputs.issubset(names)

    def _embed(self, compute: Compute, items: Sequence[bytes]) -> Iterator[Sequence[Answer]]:
        answers: list[Answer] = []
        try:
            for portion in compute(items):
                answers += portion
                yield portion
        finally:
            if answers:
                self._metrics.add(answers, self._service.counts)

    def _response(self, request: Any, items: Sequence[bytes], answers: Sequence[Answer]) -> Any:
        outputs: dict[str, np.ndarray] = {}
        try:
            if _returns_errors(request):
                vectors, outputs["ERROR"] = with_errors(answers, self._service.width)
                self._log_refusals(request, answers)
            else:
                vectors = joined(answers)
                if self._names(request, output="ERROR"):
                    outputs["ERROR"] = np.full((len(items), 1), b"", dtype=object)
        except InvalidInput as error:
            return _error(str(error), pb_utils.TritonError.INVALID_ARG)
        beside = self._service.beside(items)
        outputs |= {"EMBEDDING": vectors} if vectors.ndim == 2 else of_features(vectors)
        outputs |= {**beside, **self._constants(len(items))}
        return pb_utils.InferenceResponse(
            output_tensors=[pb_utils.Tensor(name, array) for name, array in outputs.items()]
        )

    def _log_refusals(self, request: Any, answers: Sequence[Answer]) -> None:
        """Write a line with the number and the reasons of a request's bad items."""
        reasons = Counter(each.reason for each in answers if isinstance(each, InvalidInput))
        if not reasons:
            return
        if time.monotonic() - self._logged < _SECONDS_BETWEEN_LINES:
            self._unlogged += 1
            return
        count, why = reasons.total(), ", ".join(f"{n} {reason}" for reason, n in reasons.items())
        words = f"{count} of {len(answers)} items cannot be used ({why})"
        if self._unlogged:
            words += f"; {self._unlogged} earlier requests with bad items have no line"
        pb_utils.Logger.log_warn(f"request {_name(request)}: {words}")
        self._logged, self._unlogged = time.monotonic(), 0

    def _constants(self, count: int) -> dict[str, np.ndarray]:
        """Return the constant outputs, repeated for ``count`` items."""
        if count not in self._repeated:
            constants = self._service.constants.items()
            self._repeated[count] = {name: np.tile(v, (count, 1)) for name, v in constants}
        return self._repeated[count]


def _service(tower: str, args: Mapping[str, str]) -> Service:
    settings = ServingSettings.from_env()
    encoder = load_encoder(
        settings.model,
        runtime=settings.runtime,
        dtype=settings.dtype,
        device=_device(args, settings.runtime),
        threads=settings.threads,
        only=tower,
        revision=settings.revision,
    )
    served = f"{settings.model} ({encoder.fingerprint}) in {encoder.explanation}"
    pb_utils.Logger.log_info(_printable(f"align_{tower}: {served}"))
    if tower == "text":
        return TextService(encoder)
    return ImageService(encoder, **image_limits(args["model_config"]))


def _device(args: Mapping[str, str], runtime: str) -> str:
    """Return the device where Triton placed the instance, if the runtime can compute there."""
    if args["model_instance_kind"] != "GPU" or runtime == "onnx":
        return "cpu"
    import torch  # here: a server on the CPU does not need torch

    return f"cuda:{args['model_instance_device_id']}" if torch.cuda.is_available() else "cpu"


def _returns_errors(request: Any) -> bool:
    """Return whether the request wants the error of each item in the output ERROR."""
    parameters = request.parameters()
    return "errors" in parameters and json.loads(parameters).get("errors") == "return"


def _where(error: BaseException | None) -> str:
    """Return the types and tracebacks of an error and its causes.

    Messages are left out: a message may quote the request.
    """
    parts = []
    while error:
        parts.append(f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}")
        error = error.__cause__ or error.__context__
    return "caused by ".join(parts)


def _send(request: Any, response: Any) -> None:
    """Answer a request before the others of its batch."""
    try:
        request.get_response_sender().send(response, pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    # A response that cannot be sent (no shared memory left) must not fail later requests.
    except Exception as error:
        reason = f"cannot be answered ({type(error).__name__})"
        pb_utils.Logger.log_error(f"request {_name(request)}: {reason}")


def _name(request: Any) -> str:
    """Return the caller's id of the request; escaped and short, the id cannot forge a log line."""
    return ascii(request.request_id()[:64])


def _printable(text: str) -> str:
    """Return the text with readable characters in place of a path's surrogate escapes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _cancelled() -> Any:
    return _error("the caller has gone", pb_utils.TritonError.CANCELLED)


def _error(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
