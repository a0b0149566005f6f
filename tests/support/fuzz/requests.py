"""One odd inference request for each seed, over gRPC or HTTP: mostly what the gateway allows."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from tritonclient.grpc import service_pb2

from fuzz.samples import samples
from fuzz.strings import odd_string

__all__ = ["Sent", "odd_request"]

_INPUTS = {"align_image": "IMAGE", "align_text": "TEXT"}
_BOTH = ("EMBEDDING", "ERROR", "CHECKPOINT", "RUNTIME")
_OUTPUTS = {
    "align_image": (*_BOTH, "FEATURES", "RESIZE", "RESIZE_CHECK"),
    "align_text": (*_BOTH, "TEMPERATURE", "TOKENS"),
}
_ALL_OUTPUTS = (*_BOTH, "FEATURES", "TEMPERATURE", "TOKENS", "RESIZE", "RESIZE_CHECK")
_ODD_NAMES = ("", "embedding", "X" * 1000, "EMBEDDING\0", "%s%n", "\u2028", "../RUNTIME")
_SIZES = (0, 1, 2, 16, 17, 63, 64, 65, 255, 2**16, 2**31 - 1, 2**31, 2**32 + 1, 2**63 - 1, -1)
_ALLOWED = {
    "request": (
        *("errors", "errors", "priority", "timeout"),
        *("binary_data_output", "triton_enable_empty_final_response"),
    ),
    "input": ("binary_data_size",),
    "output": ("binary_data",),
}
_CLOSED = (
    "classification",
    "sequence_id",
    "sequence_start",
    "shared_memory_region",
    "shared_memory_byte_size",
    "shared_memory_offset",
    "triton_",
    "headers",
    "",
)
_VALUES: tuple[Any, ...] = (True, False, 0, 1, 7, 2**31, 2**63 - 1, -1, 0.5, 1e300, "", "1", "x")
_KINDS = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}

Request = dict[str, Any]
"""As KServe's JSON, with a model and with bytes for data."""


class Sent(NamedTuple):
    """What goes over the wire."""

    protocol: str
    """"grpc" or "http"."""
    model: str
    body: bytes
    json_length: str | None
    """HTTP's header; None without."""


def odd_request(seed: int) -> Sent:
    """A sound request with some changes; the same for the same seed."""
    rng = random.Random(seed)
    request = _sound(rng)
    edits = rng.choices(_EDITS, weights=_WEIGHTS, k=rng.choice([0, 1, 1, 2, 3]))
    for edit in edits:
        edit(request, rng)
    model = request.pop("model")
    if rng.random() < 0.5:
        body = _mutated(_protobuf(request, model, rng), rng)
        return Sent("grpc", model, body, None)
    body, length = _json(request, rng)
    if rng.random() < 0.1:
        length = rng.choice([None, "0", "1", str(len(body)), "-1", "abc", "9" * 20])
    return Sent("http", model if model in _INPUTS else "align_text", _mutated(body, rng), length)


@cache
def _images() -> list[bytes]:
    """The small ones: the request is what is odd."""
    return sorted(samples().values(), key=len)[:20]


def _sound(rng: random.Random) -> Request:
    model = rng.choice(list(_INPUTS))
    count = rng.choice([1, 1, 1, 2, 3, 16])
    if model == "align_image":
        items = [rng.choice(_images()) for _ in range(count)]
    else:
        items = [odd_string(rng.randrange(1000))[:100_000] for _ in range(count)]
    tensor = {"name": _INPUTS[model], "shape": [count, 1], "datatype": "BYTES", "data": items}
    return {"model": model, "inputs": [{**tensor, "parameters": {}}], "parameters": {}}


def _allowed_parameter(request: Request, rng: random.Random) -> None:
    name = rng.choice(_ALLOWED["request"])
    if name == "errors":
        value: Any = "return"
    elif name in ("priority", "timeout"):
        value = rng.choice([0, 1, 1000, 2**32, 2**63 - 1])
    else:
        value = rng.random() < 0.5
    request["parameters"][name] = value


def _allowed_outputs(request: Request, rng: random.Random) -> None:
    names = rng.sample(_OUTPUTS.get(request["model"], _BOTH), rng.randint(1, 3))
    request["outputs"] = [
        {"name": name, "parameters": {"binary_data": True} if rng.random() < 0.3 else {}}
        for name in names
    ]


def _id(request: Request, rng: random.Random) -> None:
    request["id"] = rng.choice(["a", "0" * 64, "x" * 5000, "\0", "\u00e9\n", '"}', "%n%s"])


def _shape(request: Request, rng: random.Random) -> None:
    shape = request["inputs"][0]["shape"]
    if rng.random() < 0.5:
        shape[:1] = [rng.choice(_SIZES)]
    else:
        shape[:] = rng.choices(_SIZES, k=rng.randint(0, 4))


def _data(request: Request, rng: random.Random) -> None:
    data = request["inputs"][0]["data"]
    edit = rng.randrange(4)
    if edit == 0 or not data:
        data.append(b"one more")
    elif edit == 1:
        data.pop()
    elif edit == 2:
        data[rng.randrange(len(data)) :] = []
    else:
        data[:] = [rng.randbytes(rng.choice([0, 1, 4, 100, 100_000]))] * len(data)


def _parameter(request: Request, rng: random.Random) -> None:
    place = rng.choice(["request", "input", "output"])
    name = rng.choice([*_ALLOWED[place], *_ALLOWED[place], *_CLOSED])
    parameters = request["parameters"]
    if place == "input" and request["inputs"]:
        parameters = request["inputs"][0]["parameters"]
    if place == "output":
        outputs = request.setdefault("outputs", [])
        outputs.append({"name": rng.choice(_ALL_OUTPUTS), "parameters": {}})
        parameters = outputs[-1]["parameters"]
    parameters[name] = rng.choice(_VALUES)


def _name(request: Request, rng: random.Random) -> None:
    name = rng.choice([*_ODD_NAMES, *_ALL_OUTPUTS, "IMAGE", "TEXT", "align_text", "align_image"])
    if rng.random() < 0.4:
        request["model"] = name
    elif rng.random() < 0.5:
        request["inputs"][0][rng.choice(["name", "datatype"])] = name
    else:
        request.setdefault("outputs", []).append({"name": name, "parameters": {}})


def _inputs(request: Request, rng: random.Random) -> None:
    copies = [{**each, "shape": [*each["shape"]]} for each in request["inputs"]]
    request["inputs"] = request["inputs"] + copies


_EDITS: tuple[Callable[[Request, random.Random], None], ...] = (
    _allowed_parameter,
    _allowed_outputs,
    _id,
    _shape,
    _data,
    _parameter,
    _name,
    _inputs,
)
_WEIGHTS = (5, 5, 3, 2, 3, 2, 1, 1)


def _tensor(data: list[bytes], rng: random.Random) -> bytes:
    """Strings behind their lengths, now and then with a length that lies."""
    parts = [len(item).to_bytes(4, "little") + item for item in data]
    if parts and rng.random() < 0.1:
        lie = rng.choice(_SIZES) % 2**32
        parts[-1] = lie.to_bytes(4, "little") + parts[-1][4:]
    tensor = b"".join(parts)
    return tensor[: rng.randint(0, len(tensor))] if rng.random() < 0.05 else tensor


def _protobuf(request: Request, model: str, rng: random.Random) -> bytes:
    asked = service_pb2.ModelInferRequest(model_name=model, id=request.get("id", ""))
    asked.model_version = rng.choice(["", "1"] * 10 + ["2", "x", "0", str(2**70)])
    _set(asked.parameters, request["parameters"], rng)
    for each in request["inputs"]:
        tensor = asked.inputs.add(name=each["name"], datatype=each["datatype"])
        tensor.shape.extend(each["shape"])
        _set(tensor.parameters, each["parameters"], rng)
        how = rng.random()
        if how < 0.7:
            asked.raw_input_contents.append(_tensor(each["data"], rng))
        if how > 0.69:
            tensor.contents.bytes_contents.extend(each["data"])
        if how > 0.98:
            tensor.contents.int_contents.append(7)
    for each in request.get("outputs", ()):
        _set(asked.outputs.add(name=each["name"]).parameters, each["parameters"], rng)
    return asked.SerializeToString()


def _set(parameters: Any, values: dict[str, Any], rng: random.Random) -> None:
    for name, value in values.items():
        field = _KINDS[type(value)]
        if field == "int64_param" and value >= 0 and rng.random() < 0.5:
            field = "uint64_param"
        if rng.random() < 0.05:
            parameters[name].SetInParent()  # without a value
        else:
            setattr(parameters[name], field, value)


def _json(request: Request, rng: random.Random) -> tuple[bytes, str | None]:
    tensors = b""
    binary = rng.random() < 0.5
    for each in request["inputs"]:
        data = each.pop("data")
        if binary:
            part = _tensor(data, rng)
            each["parameters"] = {**each["parameters"], "binary_data_size": len(part)}
            tensors += part
        else:
            each["data"] = [item.decode("latin-1") for item in data]
            if rng.random() < 0.3:
                each["data"] = [[item] for item in each["data"]]
    head = json.dumps(request, ensure_ascii=rng.random() < 0.5).encode()
    if not binary:
        return head, None
    if len(request["inputs"]) == 1 and rng.random() < 0.1:
        return tensors, "0"
    return head + tensors, str(len(head))


def _mutated(body: bytes, rng: random.Random) -> bytes:
    """A tenth with changed bytes, most of them near the beginning, where the structure is."""
    if rng.random() > 0.1 or not body:
        return body
    changed = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(min(len(changed), rng.choice([40, 400, len(changed)])) or 1)
        edit = rng.randrange(3)
        if edit == 0:
            changed[place] ^= 1 << rng.randrange(8)
        elif edit == 1:
            changed[place:place] = changed[place : place + rng.randint(1, 20)]
        elif len(changed) > 30:
            del changed[place : place + rng.randint(1, 20)]
    return bytes(changed)
