"""Requests that are not what they should be: each gets an error, and the server goes on."""

import dataclasses
import gzip
import http.client
import json
import random
import socket
from pathlib import Path

import grpc
import pytest
from aiohttp import web
from doors import stub_at
from messages import http as call_http
from messages import json_request, message, refused
from tritonclient.grpc import service_pb2

INFER = "/v2/models/align_text/infer"


@pytest.fixture(autouse=True)
def _goes_on(stub, doors):
    """After each test both protocols answer."""
    yield
    stub.ModelInfer(message("align_text", [b"still there"]), timeout=30)
    assert call_http(doors.gateway.http_port, INFER, json_request("a")).status == 200
    assert doors.deaths == []


def changed(**changes):
    asked = message("align_text", [b"a"])
    for name, value in changes.items():
        if name == "shape":
            asked.inputs[0].shape[:] = value
        elif name == "raw":
            asked.raw_input_contents[:] = value
        elif name == "inputs":
            del asked.inputs[:]
        elif name in ("name", "datatype"):
            setattr(asked.inputs[0], name, value)
        else:
            setattr(asked, name, value)
    return asked


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": []},
        {"shape": [1]},
        {"shape": [1, 1, 1]},
        {"shape": [0, 1]},
        {"shape": [2, 1]},
        {"shape": [-1, 1]},
        {"shape": [2**40, 1]},
        {"shape": [2**62, 2**62]},
        {"datatype": "FP32"},
        {"datatype": "NONSENSE"},
        {"datatype": ""},
        {"name": "IMAGE"},
        {"name": ""},
        {"raw": []},
        {"raw": [b""]},
        {"raw": [b"\x01"]},
        {"raw": [b"\xff\xff\xff\x7fa"]},
        {"inputs": None},
        {"model_name": ""},
        {"model_name": "../align_text"},
        {"model_version": "nonsense"},
    ],
    ids=str,
)
def test_a_request_with_wrong_parts_gets_an_error(stub, changes):
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(changed(**changes), timeout=30)
    assert caught.value.code().name in ("INVALID_ARGUMENT", "NOT_FOUND", "INTERNAL")
    assert "/" not in caught.value.details().replace("../align_text", ""), "a path is told"


def test_garbage_is_refused_as_not_a_request(doors):
    rng = random.Random(0)
    with grpc.insecure_channel(doors.grpc_url) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for size in (1, 10, 1000, 1_000_000):
            with refused("INVALID_ARGUMENT", "the request is no ModelInferRequest"):
                infer(b"\xff" + rng.randbytes(size), timeout=30)
        whole = message("align_text", [b"a" * 1000]).SerializeToString()
        with refused("INVALID_ARGUMENT", "the request is no ModelInferRequest"):
            infer(whole[:-7], timeout=30)


@pytest.mark.parametrize("name", ["ModelConfig", "ModelMetadata", "ModelStatistics", "ModelReady"])
def test_garbage_in_other_calls_reaches_tritonserver(doors, name):
    with grpc.insecure_channel(doors.grpc_url) as channel:
        call = channel.unary_unary(f"/inference.GRPCInferenceService/{name}")
        with pytest.raises(grpc.RpcError):
            call(b"\xff\xff", timeout=30)


def test_a_message_that_is_too_large_is_refused(own_doors):
    doors = own_doors(max_message_bytes=100_000)
    with stub_at(doors.grpc_url) as stub:
        with refused("INVALID_ARGUMENT", "not an image"):
            stub.ModelInfer(message("align_image", [b"a" * 90_000]), timeout=30)
        large = message("align_image", [b"a" * 110_000])
        with refused("RESOURCE_EXHAUSTED", "") as caught:
            stub.ModelInfer(large, timeout=30)
        assert "larger than max" in caught.value.details()
        # What counts is what it unpacks to.
        with refused("RESOURCE_EXHAUSTED", "") as caught:
            stub.ModelInfer(large, timeout=30, compression=grpc.Compression.Gzip)
        assert "larger than max" in caught.value.details()
    port = doors.gateway.http_port
    assert "the text" in call_http(port, INFER, json_request("a" * 90_000)).error
    reply = call_http(port, INFER, json_request("a" * 110_000))
    assert (reply.status, reply.error) == (413, "the body has more than 100000 bytes")
    packed = gzip.compress(json_request("a" * 110_000))
    assert call_http(port, INFER, packed, headers={"Content-Encoding": "gzip"}).status == 413


def test_a_body_may_be_compressed(doors):
    packed = gzip.compress(json_request("a"))
    reply = call_http(doors.gateway.http_port, INFER, packed, headers={"Content-Encoding": "gzip"})
    assert reply.status == 200


def test_body_claiming_2_gigabytes_is_refused_early(doors):
    connection = http.client.HTTPConnection("127.0.0.1", doors.gateway.http_port, timeout=10)
    connection.putrequest("POST", INFER)
    connection.putheader("Content-Length", str(2**31))
    connection.endheaders(b"{")
    assert connection.getresponse().status == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"[]",
        b"null",
        b"{}",
        b'{"inputs": 7}',
        b'{"inputs": [{}]}',
        json.dumps({"inputs": [{"name": "TEXT", "shape": [1, 1], "datatype": "BYTES"}]}).encode(),
        json_request("a").replace(b"[1, 1]", b"[2, 1]"),
        json_request("a").replace(b"[1, 1]", b"[0, 1]"),
        json_request("a").replace(b"[1, 1]", b"[-1, 1]"),
        json_request("a").replace(b"TEXT", b"IMAGE"),
        json_request("a").replace(b"BYTES", b"FP32"),
        json_request("a").replace(b'"a"', b"7"),
        json_request("a").replace(b"{", b'{"id": 7, ', 1),
        json_request("a")[:-1] + b', "parameters": 7}',
        json_request("a") + b"and more",
        b"\xff\xfe\x00",
    ],
    ids=repr,
)
def test_json_that_is_no_request_reaches_tritonserver(doors, body):
    reply = call_http(doors.gateway.http_port, INFER, body)
    assert reply.status == 400, "it is the caller's mistake"
    assert reply.error


@pytest.mark.parametrize("count", [20_000, 5_000_000])
@pytest.mark.parametrize("bracket", [b"[", b"{", b'[{"a":'])
def test_deep_json_does_not_reach_tritonserver(doors, bracket, count):
    reply = call_http(doors.gateway.http_port, INFER, bracket * count)
    assert (reply.status, reply.error) == (400, "the JSON has more than 10000 brackets")


@pytest.mark.parametrize("claim", ["nonsense", "-1", "99999999", "9" * 5000, "\u0663"])
def test_wrong_json_length_hides_nothing(doors, claim):
    headers = {"Inference-Header-Content-Length": claim.encode().decode("latin-1")}
    port = doors.gateway.http_port
    assert call_http(port, INFER, b"[" * 20_000, headers=headers).status == 400


def test_invalid_http_gets_an_error(doors):
    for sent in (
        b"\x00\x01\x02nonsense\r\n\r\n",
        b"GET /\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -3\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", doors.gateway.http_port), 10) as connection:
            connection.sendall(sent)
            assert b" 40" in connection.recv(1000).split(b"\r\n")[0]


def test_http_1_at_grpc_port_is_rejected(doors):
    with socket.create_connection(("127.0.0.1", doors.gateway.grpc_port), 10) as connection:
        connection.sendall(b"POST /v2/models/align_text/infer HTTP/1.1\r\nHost: a\r\n\r\n")
        while connection.recv(1000):
            pass  # until it is closed; never is a timeout


def test_unknown_model_adds_no_metric_label(own_doors):
    doors = own_doors()
    with stub_at(doors.grpc_url) as stub:
        for i in range(20):
            with refused("NOT_FOUND", ""):
                stub.ModelInfer(service_pb2.ModelInferRequest(model_name=f"made up {i}"))
            path = f"/v2/models/made_up_{i}/infer"
            assert call_http(doors.gateway.http_port, path, b"{}").status == 404
    assert doors.count("align_zoo_requests_total", model="", code="NOT_FOUND") == 40
    assert "made" not in doors.metrics.text()


@pytest.mark.parametrize(
    "words",
    [
        "Unable to parse 'data': attempt to access JSON non-array as array",
        "Failed to parse 'data' field: element count does not match the shape",
        "failed to parse the request JSON buffer: Invalid value. at 3",
    ],
    ids=["2.51", "26.04", "no-json"],
)
def test_tritonserver_rejections_are_not_server_errors(own_doors, tmp_path, words):
    """Of a version that cannot be run here: it answers 500 to them."""
    doors = own_doors()
    path = str(tmp_path / "http")

    async def listen():
        async def answer(_):
            return web.json_response({"error": words}, status=500)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.UnixSite(runner, path).start()
        backend = dataclasses.replace(doors.backends.current, http=Path(path))
        doors.backends.set(backend)
        return runner

    runner = doors.loop.run(listen())
    reply = call_http(doors.gateway.http_port, INFER, json_request("a"))
    doors.loop.run(runner.cleanup())
    assert (reply.status, reply.error) == (400, words)
