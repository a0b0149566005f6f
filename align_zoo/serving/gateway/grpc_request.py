"""Reads a ModelInferRequest, for :mod:`allowed` to judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from align_zoo.serving.gateway.allowed import Asked, Output, Parameters, Tensor
from align_zoo.serving.gateway.refusal import Reason, Refusal

__all__ = ["read", "without_id"]


def read(request: bytes) -> Asked:
    """Read a serialized request; :func:`allowed.judge` judges its values.

    Raises:
        Refusal: MALFORMED; the bytes are no ModelInferRequest, or have unknown fields or contents
            other than strings.
    """
    try:
        message = service_pb2.ModelInferRequest.FromString(request)
    except DecodeError:
        raise Refusal(Reason.MALFORMED, "the request is no ModelInferRequest") from None
    _judge_contents(message)
    asked = Asked(
        message.model_name,
        message.model_version,
        message.id,
        [
            Tensor(
                tensor.name,
                tensor.datatype,
                tensor.shape,
                _parameters(tensor.parameters),
                message.raw_input_contents[i]
                if message.raw_input_contents
                else tensor.contents.bytes_contents,
            )
            for i, tensor in enumerate(message.inputs)
        ],
        [Output(output.name, _parameters(output.parameters)) for output in message.outputs],
        _parameters(message.parameters),
    )
    _judge_fields(message)
    return asked


def without_id(request: bytes) -> Iterator[bytes]:
    """Yield a serialized request's bytes without its id, for comparison with other requests."""
    message = service_pb2.ModelInferRequest.FromString(request)
    message.ClearField("id")
    yield message.SerializeToString(deterministic=True)


def _judge_fields(message: service_pb2.ModelInferRequest) -> None:
    # A newer tritonserver may act on fields that this version of the messages does not have.
    del message.raw_input_contents[:]  # already read; counting would copy the contents
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != size:
        raise Refusal(Reason.MALFORMED, "the request has protobuf fields that are not known here")


def _judge_contents(message: service_pb2.ModelInferRequest) -> None:
    given = len(message.raw_input_contents)
    for tensor in message.inputs:
        if not tensor.HasField("contents"):
            continue
        given += 1
        if message.raw_input_contents:
            raise Refusal(Reason.MALFORMED, "the request has both contents and raw_input_contents")
        for field, _ in tensor.contents.ListFields():
            if field.name != "bytes_contents":
                raise Refusal(
                    Reason.MALFORMED, f"an input has {field.name}: strings are bytes_contents"
                )
    if given != len(message.inputs):
        raise Refusal(
            Reason.MALFORMED,
            f"the request has {len(message.inputs)} inputs, and contents for {given}",
        )


def _parameters(parameters: Mapping[str, service_pb2.InferParameter]) -> Parameters:
    if not parameters:
        return {}
    return {
        name: getattr(value, choice)
        if (choice := value.WhichOneof("parameter_choice")) is not None
        else None
        for name, value in parameters.items()
    }
