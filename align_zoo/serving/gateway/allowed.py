"""The requests that both protocols allow; any other request is refused, and the error names why.

A request is judged here before tritonserver sees any part of it, because KServe's protocol can
harm tritonserver: the classification extension on an output of strings ends tritonserver 2.51.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from align_zoo.serving.gateway.journal import shown_id
from align_zoo.serving.gateway.refusal import Reason, Refusal

__all__ = [
    "EXTENSIONS",
    "MODELS",
    "Asked",
    "Model",
    "Output",
    "Parameters",
    "Tensor",
    "judge",
    "model_of",
]


class Model(NamedTuple):
    """The tensors of a served model; the input takes strings, BYTES [N, 1]."""

    input: str
    outputs: frozenset[str]


MODELS = {
    "align_image": Model(
        "IMAGE",
        frozenset(
            [
                *("EMBEDDING", "ERROR", "FEATURES"),
                *("RESIZE", "RESIZE_CHECK", "CHECKPOINT", "RUNTIME"),
            ]
        ),
    ),
    "align_text": Model(
        "TEXT",
        frozenset(["EMBEDDING", "ERROR", "TOKENS", "TEMPERATURE", "CHECKPOINT", "RUNTIME"]),
    ),
}

_PARAMETERS: dict[str, dict[str, type]] = {
    "request": {
        "binary_data_output": bool,
        "errors": str,
        "priority": int,
        "timeout": int,
        "triton_enable_empty_final_response": bool,
    },
    "input": {"binary_data_size": int},
    "output": {"binary_data": bool},
}
"""The parameters that KServe's clients send, by their place; a whole number is never negative.

``errors`` is align-zoo's own, and has one value: the error of each item comes in the output ERROR.
"""

EXTENSIONS = frozenset(
    ["binary_tensor_data", "model_configuration", "schedule_policy", "statistics"]
)
"""The allowed ones of the extensions of KServe's protocol that tritonserver has."""

_MOST_ITEMS = 10_000
"""The most items of a request, far beyond any batch: each string's length is read."""
_MOST = 2**63
_KINDS = {bool: "true or false", int: "a whole number that is not negative", str: '"return"'}

Parameters = Mapping[str, object]
"""Values by name; None for a missing value."""


class Tensor(NamedTuple):
    """An input of a request."""

    name: str
    datatype: str
    shape: Sequence[int]
    parameters: Parameters
    contents: bytes | Sequence[object]
    """A BYTES tensor, in which each string follows its length in 4 bytes; or a list of strings."""


class Output(NamedTuple):
    """An output that a request asks for."""

    name: str
    parameters: Parameters


class Asked(NamedTuple):
    """An inference request of either protocol."""

    model: str
    version: str
    """The model's version; empty for the newest."""
    id: str
    inputs: Sequence[Tensor]
    outputs: Sequence[Output]
    """The outputs to return; empty for all."""
    parameters: Parameters


def judge(asked: Asked) -> int:
    """Check a request for tritonserver, and return the number of its items.

    Raises:
        Refusal: UNKNOWN_MODEL or MALFORMED; the message names the fault and the accepted values.
    """
    model = model_of(asked.model)
    if asked.version and not (asked.version.isascii() and asked.version.isdecimal()):
        raise _malformed(f"the model's version {_quoted(asked.version)} is not a number")
    _judge_parameters("request", asked.parameters)
    if len(asked.inputs) != 1:
        raise _malformed(f"the request has {len(asked.inputs)} inputs: {asked.model} takes one")
    (tensor,) = asked.inputs
    items = _judge_input(tensor, asked.model, model)
    if asked.outputs:
        _judge_outputs(asked.outputs, asked.model, model)
    return items


def model_of(name: str) -> Model:
    """Return the model of a name.

    Raises:
        Refusal: UNKNOWN_MODEL.
    """
    if name in MODELS:
        return MODELS[name]
    # The words of tritonserver, which clients know.
    raise Refusal(
        Reason.UNKNOWN_MODEL, f"Request for unknown model: '{shown_id(name)}' is not found"
    )


def _judge_input(tensor: Tensor, name: str, model: Model) -> int:
    if tensor.name != model.input:
        raise _malformed(
            f"the input {_quoted(tensor.name)} is not one of {name}'s: its input is {model.input}"
        )
    if tensor.datatype != "BYTES":
        raise _malformed(
            f"{model.input} has the datatype {_quoted(tensor.datatype)}: it must be BYTES"
        )
    shape = tensor.shape
    if len(shape) != 2 or shape[1] != 1 or not 1 <= shape[0] < 2**31:
        shown = ", ".join(str(size) for size in shape[:8]) + (", ..." if len(shape) > 8 else "")
        raise _malformed(
            f"{model.input} has the shape [{shown}]: it must be [N, 1] for N items, such as [1, 1]"
        )
    _judge_parameters("input", tensor.parameters)
    _judge_contents(tensor, shape[0])
    return shape[0]


def _judge_contents(tensor: Tensor, items: int) -> None:
    # In tritonserver's Python backend a request with fewer or more strings than items fails
    # together with all other requests of its batch.
    name, contents = tensor.name, tensor.contents
    if items > _MOST_ITEMS:
        raise _malformed(f"{name} has {items} items: at most {_MOST_ITEMS:,} are accepted")
    if not isinstance(contents, bytes):
        if len(contents) != items:
            raise _malformed(f"{name} has {len(contents)} strings, and a shape for {items}")
        return
    end = 0
    for i in range(items):
        length = int.from_bytes(contents[end : end + 4], "little")
        left = len(contents) - end - 4
        if not 0 <= length <= left:
            raise _malformed(
                f"string {i} of {name} has {length} bytes by the 4 before it, and {max(left, 0)} "
                "are there"
            )
        end += 4 + length
    if end != len(contents):
        raise _malformed(f"{len(contents) - end} bytes follow the {items} strings of {name}")


def _judge_outputs(outputs: Sequence[Output], name: str, model: Model) -> None:
    seen = set()
    for output in outputs:
        if output.name not in model.outputs:
            raise _malformed(
                f"the output {_quoted(output.name)} is not one of {name}'s: "
                f"{_listed(model.outputs)}"
            )
        if output.name in seen:
            raise _malformed(f"the output {output.name} is asked for twice")
        seen.add(output.name)
        _judge_parameters("output", output.parameters)


def _judge_parameters(place: str, parameters: Parameters) -> None:
    for name, value in sorted(parameters.items()):  # protobuf keeps no order
        kind = _PARAMETERS[place].get(name)
        if kind is None:
            raise _malformed(
                f"the {place}'s parameter {_quoted(name)} is not accepted: "
                f"accepted are {_listed(_PARAMETERS[place])}"
            )
        refused = isinstance(value, int) and not 0 <= value < _MOST
        if type(value) is not kind or refused or (kind is str and value != "return"):
            raise _malformed(f"the {place}'s parameter {name} must be {_KINDS[kind]}")


def _malformed(message: str) -> Refusal:
    return Refusal(Reason.MALFORMED, message)


def _quoted(name: str) -> str:
    return f"'{shown_id(name)}'"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
