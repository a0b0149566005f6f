"""What a request may ask for: one table for both protocols, and all else refused by name."""

import json
from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import http, json_request, message, refused
from tritonclient.grpc import model_config_pb2, service_pb2

from align_zoo.serving.gateway.allowed import MODELS, judge
from align_zoo.serving.gateway.grpc_request import read
from align_zoo.serving.gateway.http_request import JSON_LENGTH, read_request
from align_zoo.serving.gateway.refusal import Reason, Refusal

REPOSITORY = Path(__file__).parents[3] / "model_repository"
INFER = "/v2/models/align_text/infer"
IMAGE = (Path(__file__).parents[3] / "align_zoo/assets/samples/red-star.png").read_bytes()
CLASSES = {"classification": 1}


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
    "flat-shape": (in_json(input={"shape": [1]}), "TEXT has the shape [1]: it must be [N, 1]"),
}


def in_protobuf(request):
    """The same request for gRPC."""
    asked = service_pb2.ModelInferRequest(model_name="align_text", id=request.get("id", ""))
    for name, value in request.get("parameters", {}).items():
        set_parameter(asked.parameters[name], value)
    for each in request["inputs"]:
        tensor = asked.inputs.add(name=each["name"], datatype=each["datatype"], shape=each["shape"])
        tensor.contents.bytes_contents.extend(map(str.encode, each["data"]))
        for name, value in each.get("parameters", {}).items():
            set_parameter(tensor.parameters[name], value)
    for each in request.get("outputs", []):
        output = asked.outputs.add(name=each["name"])
        for name, value in each.get("parameters", {}).items():
            set_parameter(output.parameters[name], value)
    return asked


def set_parameter(parameter, value):
    kinds = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
    setattr(parameter, kinds[type(value)], value)


@pytest.mark.parametrize(("request_", "words"), REFUSED.values(), ids=REFUSED)
def test_all_else_is_refused_by_name_on_both_protocols(doors, stub, request_, words):
    reply = http(doors.gateway.http_port, INFER, json.dumps(request_).encode())
    assert reply.status == 400
    assert words in reply.error
    with refused("INVALID_ARGUMENT", reply.error):
        stub.ModelInfer(in_protobuf(request_), timeout=30)
    assert doors.deaths == []


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
def test_fields_of_json_are_judged_by_name_and_kind(doors, field, value):
    reply = http(doors.gateway.http_port, INFER, json.dumps(in_json(**{field: value})).encode())
    assert reply.status == 400
    assert field in reply.error


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (json_request("a").replace(b"{", b'{"id": "a", "id": "b", ', 1), "the same name twice"),
        (json_request("a").replace(b'"a"', b"NaN"), "NaN is no number"),
        (json_request("a").replace(b'"a"', rb'"\ud800"'), "half a surrogate pair"),
        (json_request("a").replace(b'"a"', b"1" * 5000), "a number is too long"),
        (json_request("a").replace(b'"a"', b"[" * 5000 + b"]" * 5000), "too deep"),
        (json_request("a").replace(b'"a"', b'"\xff"'), "is not UTF-8"),
        (json_request("a").replace(b'"a"', b"1," * 1_000_001 + b"1"), "commas and backslashes"),
        (json_request("a" * 8_000_000), "more than 8,000,000 bytes: send the strings as a binary"),
        (json_request("a", "b").replace(b"[2, 1]", b"[3, 1]"), "2 data, and a shape for 3"),
        (IMAGE, f"add the header {JSON_LENGTH}: 0"),
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
    ],
)
def test_what_json_cannot_say_is_refused_with_its_reason(doors, body, words):
    reply = http(doors.gateway.http_port, INFER, body)
    assert reply.status == 400
    assert words in reply.error


def test_fp32_data_that_do_not_fit_their_shape_are_the_callers_mistake(doors):
    tensor = {"name": "TEXT", "shape": [2, 1], "datatype": "FP32", "data": [1.0]}
    reply = http(doors.gateway.http_port, INFER, json.dumps({"inputs": [tensor]}).encode())
    assert (reply.status, reply.error) == (400, "TEXT has the datatype 'FP32': it must be BYTES")


@pytest.mark.parametrize("length", ["abc", "", "-1", "1.0", "0x10", "99999", "9" * 30, "\u0663"])
def test_a_json_length_that_is_none_is_refused(doors, length):
    headers = {JSON_LENGTH: length.encode().decode("latin-1")}
    reply = http(doors.gateway.http_port, INFER, json_request("a"), headers=headers)
    assert reply.status == 400
    assert JSON_LENGTH in reply.error


@pytest.mark.parametrize("size", [0, 4, 6, 10**18])
def test_a_binary_size_that_does_not_fit_is_refused(doors, size):
    tensor = {"name": "TEXT", "shape": [1, 1], "datatype": "BYTES"}
    tensor["parameters"] = {"binary_data_size": size}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {JSON_LENGTH: str(len(head))}
    reply = http(doors.gateway.http_port, INFER, head + b"\x01\0\0\0a", headers=headers)
    assert (reply.status, reply.error) == (
        400,
        f"5 bytes follow the JSON; binary_data_size is {size}",
    )


INTEGERS = st.integers(-(2**63), 2**63 - 1)
VALUES = st.one_of(st.booleans(), INTEGERS, st.floats(), st.text(max_size=3))
NAMES = st.sampled_from(
    "priority timeout binary_data_output binary_data binary_data_size classification".split()
)
PARAMETERS = st.dictionaries(NAMES, VALUES, max_size=2)
OUTPUT = st.fixed_dictionaries(
    {"name": st.sampled_from(["EMBEDDING", "RUNTIME", "NONE"]), "parameters": PARAMETERS}
)
TENSOR = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["TEXT", "TEXT", "IMAGE", ""]),
        "datatype": st.sampled_from(["BYTES", "BYTES", "FP32", ""]),
        "shape": st.one_of(st.just([1, 1]), st.lists(INTEGERS)),
        "data": st.just(["a"]),
    }
)


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "inputs": st.lists(TENSOR, min_size=1, max_size=2),
            "parameters": PARAMETERS,
            "outputs": st.lists(OUTPUT, max_size=2),
        }
    )
)
def test_both_protocols_judge_alike(request_):
    def verdict(judged):
        try:
            return judged()
        except Refusal as refusal:
            return refusal.reason, refusal.message

    over_grpc = verdict(lambda: judge(read(in_protobuf(request_).SerializeToString())))
    body = json.dumps(request_).encode()
    if b"NaN" in body or b"Infinity" in body:
        assert over_grpc[0] is Reason.MALFORMED
        return
    over_http = verdict(lambda: read_request(body, None, "align_text").items)
    if over_grpc == 1 or over_http == 1:
        assert over_grpc == over_http
    elif isinstance(over_grpc, int):
        assert "data" in over_http[1], "over gRPC tritonserver counts the data"
    else:
        assert over_grpc == over_http


@given(st.lists(st.text(), min_size=1, max_size=5), st.booleans())
def test_strings_of_json_reach_tritonserver_as_they_are(texts, nested):
    request = json.loads(json_request(*texts))
    if nested:
        request["inputs"][0]["data"] = [[text] for text in texts]
    written = read_request(json.dumps(request).encode(), None, "align_text")
    head, tensor = written.body[: written.json_length], written.body[written.json_length :]
    assert written.items == len(texts)
    assert json.loads(head)["inputs"][0]["parameters"] == {"binary_data_size": len(tensor)}
    strings = [len(text.encode()).to_bytes(4, "little") + text.encode() for text in texts]
    assert tensor == b"".join(strings)
