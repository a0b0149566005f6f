"""Reads the body of an inference over HTTP strictly, judges it, and writes it for tritonserver.

tritonserver's own reader of JSON gets the body that is written here: some hundred bytes of JSON,
followed by the strings as a binary tensor. So tritonserver cannot read another request than the
judged one, and no JSON of a caller can end tritonserver.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from align_zoo.serving.gateway.allowed import Asked, Output, Tensor, judge, model_of
from align_zoo.serving.gateway.journal import shown_id
from align_zoo.serving.gateway.refusal import Reason, Refusal

__all__ = ["JSON_LENGTH", "HttpRequest", "read_request"]

JSON_LENGTH = "Inference-Header-Content-Length"
"""The header with the number of bytes of JSON; a binary tensor follows the JSON."""

_MOST_BRACKETS = 10_000
_MOST_BYTES = 8_000_000
"""The most bytes of JSON: no other request is answered while JSON is read. 64 texts of full length
have less."""
_MOST_MARKS = 1_000_000
"""The most commas and backslashes: numbers and escapes take longer to read than letters."""
_BINARY = f"send the strings as a binary tensor, with the header {JSON_LENGTH}"
_REQUEST = {"id": str, "model_name": str, "parameters": dict, "inputs": list, "outputs": list}
_INPUT = {"name": str, "shape": list, "datatype": str, "parameters": dict, "data": list}
_OUTPUT = {"name": str, "parameters": dict}
_KINDS: dict[type, str] = {str: "a string", dict: "an object", list: "a list"}


class HttpRequest(NamedTuple):
    """A request for tritonserver."""

    items: int
    json_length: int
    body: bytes

    def without_id(self) -> Iterator[bytes | memoryview]:
        """Yield the parts of the request but its id; equal requests have equal parts."""
        head = json.loads(self.body[: self.json_length])
        head.pop("id", None)
        yield json.dumps(head, sort_keys=True).encode()
        yield memoryview(self.body)[self.json_length :]


def read_request(body: bytes, length: str | None, model: str) -> HttpRequest:
    """Judge a body, and write it for tritonserver.

    Args:
        body: JSON, which a binary tensor may follow; if ``length`` is "0", the bytes of one item.
        length: the caller's header :data:`JSON_LENGTH`.
        model: the name of the model in the path.

    Raises:
        Refusal: UNKNOWN_MODEL or MALFORMED; the message names the fault.
    """
    end = len(body) if length is None else _json_bytes(length, len(body))
    if length is not None and end == 0:
        tensor = Tensor(model_of(model).input, "BYTES", [1, 1], {}, [body])
        # tritonserver answers such a request in binary.
        asked = Asked(model, "", "", [tensor], [], {"binary_data_output": True})
    else:
        asked = _read(_parsed(body, end), body[end:], model)
    return _written(judge(asked), asked)


def _json_bytes(length: str, most: int) -> int:
    if length.isascii() and length.isdecimal() and len(length) < 20 and int(length) <= most:
        return int(length)
    raise _malformed(
        f"{JSON_LENGTH} {shown_id(length)!r} is not the number of the JSON's bytes, "
        f"which is at most {most} here"
    )


def _parsed(body: bytes, end: int) -> Any:
    if body.count(b"[", 0, end) + body.count(b"{", 0, end) > _MOST_BRACKETS:
        raise _malformed(f"the JSON has more than {_MOST_BRACKETS} brackets")
    if end > _MOST_BYTES:
        raise _malformed(f"the JSON has more than {_MOST_BYTES:,} bytes: {_BINARY}")
    if body.count(b",", 0, end) + body.count(b"\\", 0, end) > _MOST_MARKS:
        raise _malformed(
            f"the JSON has more than {_MOST_MARKS:,} commas and backslashes: {_BINARY}"
        )
    try:
        return json.loads(
            body[:end].decode(), object_pairs_hook=_unambiguous, parse_constant=_no_number
        )
    except json.JSONDecodeError as error:
        reason = f"{error.msg}, at character {error.pos}"
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} is not UTF-8"
    except RecursionError:
        reason = "brackets in brackets are too deep"
    except ValueError:
        reason = "a number is too long"
    raise _malformed(
        f"the body is not JSON ({reason}); to send the bytes of one item as they are, "
        f"add the header {JSON_LENGTH}: 0"
    )


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _malformed("an object of the JSON has the same name twice")
    return found


def _no_number(name: str) -> None:
    raise _malformed(f"{name} is no number of JSON")


def _read(found: Any, behind: bytes, model: str) -> Asked:
    request = _fields(found, "the request", _REQUEST)
    name = request.get("model_name", model)
    if name != model:
        raise _malformed(f"model_name is {shown_id(name)!r}, and the path names {model}")
    inputs = [_fields(each, "the input", _INPUT) for each in request.get("inputs", [])]
    outputs = [_fields(each, "the output", _OUTPUT) for each in request.get("outputs", [])]
    return Asked(
        model,
        "",
        request.get("id", ""),
        [_tensor(each, behind if len(inputs) == 1 else b"") for each in inputs],
        [Output(each.get("name", ""), each.get("parameters", {})) for each in outputs],
        request.get("parameters", {}),
    )


def _tensor(found: dict[str, Any], behind: bytes) -> Tensor:
    """Read an input; its data are in the JSON or ``behind`` the JSON."""
    name, shape = found.get("name", ""), found.get("shape", [])
    parameters, data = found.get("parameters", {}), found.get("data")
    if any(type(size) is not int for size in shape):
        raise _malformed("the input's shape must be a list of whole numbers")
    size = parameters.get("binary_data_size")
    if (data is None) == (size is None):
        raise _malformed("the input needs either data or the parameter binary_data_size")
    if (size or 0) != len(behind):
        raise _malformed(f"{len(behind)} bytes follow the JSON; binary_data_size is {size or 0}")
    if data is not None:
        # The data may have the tensor's shape, [N, 1], or be flat.
        data = [each[0] if isinstance(each, list) and len(each) == 1 else each for each in data]
    return Tensor(
        name, found.get("datatype", ""), shape, parameters, behind if data is None else data
    )


def _fields(found: Any, what: str, known: Mapping[str, type]) -> dict[str, Any]:
    """Return the known fields of an object; a field that is null is left out."""
    if not isinstance(found, dict):
        raise _malformed(f"{what} must be an object of JSON")
    for name, value in found.items():
        if name not in known:
            raise _malformed(
                f"{what}'s field {shown_id(name)!r} is not accepted: accepted are "
                f"{', '.join(sorted(known))}"
            )
        if value is not None and type(value) is not known[name]:
            raise _malformed(f"{what}'s {name} must be {_KINDS[known[name]]}")
    return {name: value for name, value in found.items() if value is not None}


def _binary(strings: Sequence[Any]) -> list[bytes]:
    """Return the parts of a BYTES tensor: for each string its length in 4 bytes, and its bytes."""
    parts = []
    for i, string in enumerate(strings):
        if not isinstance(string, (str, bytes)):
            raise _malformed(f"item {i} of the data must be a string")
        try:
            encoded = string.encode() if isinstance(string, str) else string
        except UnicodeEncodeError:
            raise _malformed(f"item {i} of the data has half a surrogate pair") from None
        parts += [len(encoded).to_bytes(4, "little"), encoded]
    return parts


def _written(items: int, asked: Asked) -> HttpRequest:
    (given,) = asked.inputs
    tensor = [given.contents] if isinstance(given.contents, bytes) else _binary(given.contents)
    request = {
        "parameters": {
            # Parameters of triton_ are for streams, which HTTP does not have.
            name: value
            for name, value in asked.parameters.items()
            if not name.startswith("triton_")
        },
        "inputs": [
            {
                "name": given.name,
                "shape": given.shape,
                "datatype": given.datatype,
                "parameters": {"binary_data_size": sum(map(len, tensor))},
            }
        ],
    }
    if asked.id:
        request["id"] = asked.id
    if asked.outputs:
        request["outputs"] = [output._asdict() for output in asked.outputs]
    head = json.dumps(request).encode()
    return HttpRequest(items, len(head), b"".join([head, *tensor]))


def _malformed(message: str) -> Refusal:
    return Refusal(Reason.MALFORMED, message)
