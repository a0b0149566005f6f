"""What a request may ask for: one table for both protocols, and all else refused by name."""

import json
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from google.protobuf import text_format
from messages import http, in_protobuf, json_request, message, refused
from tritonclient.grpc import model_config_pb2, service_pb2

from align_zoo.serving.gateway.allowed import MODELS
from align_zoo.serving.gateway.http_request import JSON_LENGTH

REPOSITORY = Path(__file__).parents[3] / "model_repository"
INFER = "/v2/models/align_text/infer"
IMAGE = (Path(__file__).parents[3] / "align_zoo/assets/samples/red-star.png").read_bytes()
CLASSES = {"classification": 1}


@pytest.fixture
def python_recursion_limit():
    """Python's own limit: hypothesis, in tests before, may have left a higher one."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.parametrize("name", MODELS)
def test_the_table_has_what_a_models_config_has(name):
    config = text_format.Parse(
        (REPOSITORY / name / "config.pbtxt").read_text(), model_config_pb2.ModelConfig()
    )
    assert sorted(MODELS) == sorted(each.name for each in REPOSITORY.iterdir() if each.is_dir())
    (only,) = config.input
    assert (only.name, only.data_type, list(only.dims)) == (
        MODELS[name].input,
        model_config_pb2.TYPE_STRING,
        [1],
    )
    assert {output.name for output in config.output} == MODELS[name].outputs


def in_json(**changes):
    """A request for a text's embedding, with changes to its parts."""
    request = json.loads(json_request("a"))
    request["inputs"][0] |= changes.pop("input", {})
    return request | changes


REFUSED = {
    "classification": (in_json(outputs=[{"name": "RUNTIME", "parameters": CLASSES}]), "output's"),
    "classification-text": (
        in_json(outputs=[{"name": "RUNTIME", "parameters": {"classification": "1"}}]),
        "output's",
    ),
    "classification-floats": (
        in_json(outputs=[{"name": "EMBEDDING", "parameters": CLASSES}]),
        "output's",
    ),
    "sequence": (in_json(parameters={"sequence_id": 7, "sequence_start": True}), "request's"),
    "own-parameter": (in_json(parameters={"mine": "x"}), "request's"),
    "errors-value": (in_json(parameters={"errors": "raise"}), 'errors must be "return"'),
    "errors-boolean": (in_json(parameters={"errors": True}), 'errors must be "return"'),
    "reserved": (in_json(parameters={"triton_mine": True}), "request's"),
    "timeout-text": (in_json(parameters={"timeout": "1"}), "request's"),
    "timeout-negative": (in_json(parameters={"timeout": -1}), "request's"),
    "priority-boolean": (in_json(parameters={"priority": True}), "request's"),
    "shared-memory-in": (
        in_json(input={"parameters": {"shared_memory_region": "a"}}),
        "input's",
    ),
    "shared-memory-out": (
        in_json(outputs=[{"name": "EMBEDDING", "parameters": {"shared_memory_region": "a"}}]),
        "output's",
    ),
    "unknown-output": (in_json(outputs=[{"name": "RESIZE"}]), "the output 'RESIZE'"),
    "output-twice": (in_json(outputs=[{"name": "RUNTIME"}] * 2), "the output RUNTIME"),
    "other-input": (in_json(input={"name": "IMAGE"}), "the input 'IMAGE'"),
    "two-inputs": (in_json(inputs=in_json()["inputs"] * 2), "the request has 2 inputs"),
    "numbers": (in_json(input={"datatype": "FP32"}), "TEXT has the datatype 'FP32'"),
    "wide-shape": (in_json(input={"shape": [1, 2]}), "TEXT has the shape [1, 2]"),
    "empty-shape": (in_json(input={"shape": [0, 1]}), "TEXT has the shape [0, 1]"),
    "deep-shape": (in_json(input={"shape": [1, 1, 1]}), "TEXT has the shape [1, 1, 1]"),
    "too-many-items": (in_json(input={"shape": [10_001, 1]}), "TEXT has 10001 items: at most"),
    "flat-shape": (in_json(input={"shape": [1]}), "TEXT has the shape [1]: it must be [N, 1]"),
}


@pytest.mark.parametrize(("request_", "words"), REFUSED.values(), ids=REFUSED)
def test_other_fields_are_refused_on_both_protocols(doors, stub, request_, words):
    reply = http(doors.gateway.http_port, INFER, json.dumps(request_).encode())
    assert reply.status == 400
    assert words in reply.error
    with refused("INVALID_ARGUMENT", reply.error):
        stub.ModelInfer(in_protobuf(request_), timeout=30)
    assert doors.deaths == []


@pytest.mark.parametrize("version", ["newest", "-1", "1.0", " 1", "\u0661"], ids=ascii)
def test_a_version_that_is_no_number_is_refused(doors, stub, version):
    path = f"/v2/models/align_text/versions/{quote(version)}/infer"
    reply = http(doors.gateway.http_port, path, json_request("a"))
    assert reply.status == 404  # no such path
    asked = message("align_text", [b"a"])
    asked.model_version = version
    with refused("INVALID_ARGUMENT", "the model's version "):
        stub.ModelInfer(asked, timeout=30)


def test_fields_of_a_newer_protocol_are_refused(stub):
    asked = message("align_text", [b"a"])
    asked.outputs.add(name="EMBEDDING")
    tensor, output = asked.inputs[0], asked.outputs[0]
    priority = asked.parameters["priority"]
    priority.int64_param = 1
    for part in (asked, tensor, output, priority):
        part.MergeFromString(b"\xfa\x01\x01a")  # field 31
        with refused("INVALID_ARGUMENT", "the request has protobuf fields that are not known"):
            stub.ModelInfer(asked, timeout=30)
        part.DiscardUnknownFields()
    stub.ModelInfer(asked, timeout=30)


@pytest.mark.parametrize(
    "contents",
    [{"int_contents": [1]}, {"fp32_contents": [1.0]}, {"bool_contents": [True]}],
    ids=str,
)
def test_contents_that_are_not_strings_are_refused(stub, contents):
    asked = message("align_text", [b"a"])
    del asked.raw_input_contents[:]
    asked.inputs[0].contents.MergeFrom(service_pb2.InferTensorContents(**contents))
    with refused("INVALID_ARGUMENT", f"an input has {next(iter(contents))}: "):
        stub.ModelInfer(asked, timeout=30)


def both_contents(asked):
    asked.inputs[0].contents.bytes_contents.append(b"a")


def no_contents(asked):
    del asked.raw_input_contents[:]


def two_contents(asked):
    asked.raw_input_contents.append(b"\x01\0\0\0b")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (both_contents, "the request has both contents and raw_input_contents"),
        (no_contents, "the request has 1 inputs, and contents for 0"),
        (two_contents, "the request has 1 inputs, and contents for 2"),
    ],
)
def test_contents_that_fit_no_input_are_refused(stub, change, words):
    asked = message("align_text", [b"a"])
    change(asked)
    with refused("INVALID_ARGUMENT", words):
        stub.ModelInfer(asked, timeout=30)


def test_a_parameter_without_a_value_is_refused(stub):
    asked = message("align_text", [b"a"])
    asked.parameters["priority"].SetInParent()
    with refused("INVALID_ARGUMENT", "the request's parameter priority must be a whole number"):
        stub.ModelInfer(asked, timeout=30)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", 7),
        ("inputs", {}),
        ("outputs", "EMBEDDING"),
        ("parameters", []),
        ("model_name", "align_image"),
        ("model_version", "1"),
    ],
)
def test_json_fields_are_checked_by_name_and_kind(doors, field, value):
    reply = http(doors.gateway.http_port, INFER, json.dumps(in_json(**{field: value})).encode())
    assert reply.status == 400
    assert field in reply.error


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (json_request("a").replace(b"{", b'{"id": "a", "id": "b", ', 1), "the same name twice"),
        (json_request("a").replace(b'"a"', b"NaN"), "NaN is no number"),
        (json_request("a").replace(b'"a"', rb'"\ud800"'), "has half a surrogate pair"),
        (json_request("a").replace(b'"a"', b"1" * 5000), "a number is too long"),
        (json_request("a").replace(b'"a"', b"[" * 5000 + b"]" * 5000), "too deep"),
        (json_request("a").replace(b'"a"', b'"\xff"'), "is not UTF-8"),
        (json_request("a").replace(b'"a"', b"1," * 1_000_001 + b"1"), "commas and backslashes"),
        (json_request("a" * 8_000_000), "more than 8,000,000 bytes: send the strings as a binary"),
        (
            json_request("a", "b").replace(b"[2, 1]", b"[3, 1]"),
            "TEXT has 2 strings, and a shape for 3",
        ),
        (IMAGE, f"add the header {JSON_LENGTH}: 0"),
        (json_request("a").replace(b"[1, 1]", b"[1.0, 1]"), "must be a list of whole numbers"),
        (json_request("a").replace(b', "data": ["a"]', b""), "needs either data or the parameter"),
        (json_request("a").replace(b'["a"]', b"[" + b"[]," * 60_000 + b"[]]"), "brackets"),
    ],
    ids=[
        "twice",
        "nan",
        "surrogate",
        "digits",
        "deep",
        "utf-8",
        "commas",
        "bytes",
        "count",
        "image",
        "shape",
        "no-data",
        "brackets",
    ],
)
@pytest.mark.usefixtures("python_recursion_limit")
def test_unrepresentable_json_is_refused_with_reason(doors, body, words):
    reply = http(doors.gateway.http_port, INFER, body)
    assert reply.status == 400
    assert words in reply.error


def test_fp32_data_of_wrong_shape_are_invalid(doors):
    tensor = {"name": "TEXT", "shape": [2, 1], "datatype": "FP32", "data": [1.0]}
    reply = http(doors.gateway.http_port, INFER, json.dumps({"inputs": [tensor]}).encode())
    assert (reply.status, reply.error) == (400, "TEXT has the datatype 'FP32': it must be BYTES")


@pytest.mark.parametrize("length", ["abc", "", "-1", "1.0", "0x10", "99999", "9" * 30, "\u0663"])
def test_a_json_length_that_is_none_is_refused(doors, length):
    headers = {JSON_LENGTH: length.encode().decode("latin-1")}
    reply = http(doors.gateway.http_port, INFER, json_request("a"), headers=headers)
    assert reply.status == 400
    assert JSON_LENGTH in reply.error


def test_json_length_0_takes_the_body_as_item(doors):
    path = "/v2/models/align_image/infer"
    reply = http(doors.gateway.http_port, path, IMAGE, headers={JSON_LENGTH: "0"})
    assert reply.status == 200


@pytest.mark.parametrize("size", [0, 4, 6, 10**18])
def test_wrong_binary_size_is_refused(doors, size):
    tensor = {"name": "TEXT", "shape": [1, 1], "datatype": "BYTES"}
    tensor["parameters"] = {"binary_data_size": size}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {JSON_LENGTH: str(len(head))}
    reply = http(doors.gateway.http_port, INFER, head + b"\x01\0\0\0a", headers=headers)
    assert (reply.status, reply.error) == (
        400,
        f"5 bytes follow the JSON; binary_data_size is {size}",
    )


@pytest.mark.parametrize(
    ("raw", "items", "words"),
    [
        (b"", 1, "string 0 of TEXT has 0 bytes by the 4 before it, and 0 are there"),
        (b"\x01\0\0", 1, "string 0 of TEXT has 1 bytes by the 4 before it, and 0 are there"),
        (b"\x02\0\0\0a", 1, "string 0 of TEXT has 2 bytes by the 4 before it, and 1 are there"),
        (b"\xff\xff\xff\xffa", 1, "string 0 of TEXT has 4294967295 bytes"),
        (b"\x01\0\0\0a", 2, "string 1 of TEXT has 0 bytes by the 4 before it, and 0 are there"),
        (b"\x01\0\0\0abc", 1, "2 bytes follow the 1 strings of TEXT"),
        (bytes(4 * 10_001), 10_001, "TEXT has 10001 items: at most 10,000 are accepted"),
    ],
    ids=["empty", "cut-length", "cut-string", "huge", "one-less", "more", "items"],
)
def test_strings_of_wrong_length_are_refused(doors, stub, raw, items, words):
    asked = message("align_text", [b"a"])
    asked.inputs[0].shape[0] = items
    asked.raw_input_contents[0] = raw
    with refused("INVALID_ARGUMENT", words):
        stub.ModelInfer(asked, timeout=30)
    tensor = {"name": "TEXT", "shape": [items, 1], "datatype": "BYTES"}
    tensor["parameters"] = {"binary_data_size": len(raw)}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {JSON_LENGTH: str(len(head))}
    reply = http(doors.gateway.http_port, INFER, head + raw, headers=headers)
    assert reply.status == 400
    assert reply.error.startswith(words)
