"""HTTP through the gateway: what goes through, what is closed, /healthz."""

import http.client as http_client
import json
import socket

import numpy as np
import pytest
from messages import heavy_image, http, json_request
from tritonclient.grpc import service_pb2
from tritonclient.http import InferenceServerClient as HttpClient
from tritonclient.http import InferInput

from align_zoo.serving.gateway.allowed import EXTENSIONS

INFER = "/v2/models/align_text/infer"


@pytest.fixture(scope="module")
def bare_http(sockets):
    """Calls tritonserver's own HTTP."""

    def call(method, path, body=None):
        connection = http_client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(sockets / "http"))
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()

    return call


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/align_text",
        "/v2/models/align_text/versions/1",
        "/v2/models/align_text/config",
        "/v2/models/align_text/versions/1/config",
        "/v2/models/nobody",
        "/v2/models/nobody/config",
        "/v2/models/align_text/ready",
        "/v2/models/align_text/versions/1/ready",
        "/v2/models/nobody/ready",
        "/v2/health/live",
        "/v2/health/ready",
    ],
)
def test_server_metadata_and_config_pass_through(doors, bare_http, path):
    reply = http_get(doors, path)
    assert (reply.status, reply.body) == bare_http("GET", path)


def http_get(doors, path):
    return http(doors.gateway.http_port, path)


def test_statistics_go_through(doors):
    (statistics,) = json.loads(http_get(doors, "/v2/models/align_text/stats").body)["model_stats"]
    assert statistics["name"] == "align_text"


def test_an_answer_in_json_is_tritonservers(doors, bare_http):
    body = json_request("a red circle", "blue")
    reply = http(doors.gateway.http_port, INFER, body)
    status, expected = bare_http("POST", INFER, body)
    assert reply.status == status == 200
    for mine, theirs in zip(
        json.loads(reply.body)["outputs"], json.loads(expected)["outputs"], strict=True
    ):
        if mine["datatype"] == "FP32":
            np.testing.assert_allclose(mine.pop("data"), theirs.pop("data"), atol=1e-6)
        assert mine == theirs


def test_binary_tensors_go_through_both_ways(doors):
    tensor = InferInput("IMAGE", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[heavy_image(60)]], dtype=np.object_))
    client = HttpClient(f"127.0.0.1:{doors.gateway.http_port}")
    vector = client.infer("align_image", [tensor]).as_numpy("EMBEDDING")
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/repository/index"),
        ("POST", "/v2/repository/models/align_text/load"),
        ("POST", "/v2/repository/models/align_text/unload"),
        *(
            ("POST" if change else "GET", f"/v2/{kind}sharedmemory{region}/{what}")
            for kind in ("system", "cuda")
            for region in ("", "/region/mine")
            for what, change in (("status", False), ("register", True), ("unregister", True))
        ),
        ("GET", "/v2/trace/setting"),
        ("POST", "/v2/trace/setting"),
        ("POST", "/v2/models/align_text/trace/setting"),
        ("GET", "/v2/logging"),
        ("POST", "/v2/logging"),
        ("POST", "/v2/models/align_text/generate"),
        ("POST", "/v2/models/align_text/generate_stream"),
    ],
)
def test_every_other_call_of_tritonserver_is_closed(doors, method, path):
    reply = http(doors.gateway.http_port, path, b"{}" if method == "POST" else None, method=method)
    assert (reply.status, reply.error[:8]) == (403, "closed: ")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/nobody"),
        ("GET", "/metrics"),
        ("GET", "/v2x"),
        ("GET", "/v2/nobody/knows"),
        ("POST", "/v2/models/align_text/explain"),
        ("GET", "/v2/models/../repository/index"),
        ("GET", "/v2/models/%2e%2e/repository/index"),
        ("POST", "/v2/models/align_text%2f..%2f..%2frepository/infer"),
    ],
)
def test_an_unknown_path_is_not_found(doors, method, path):
    reply = http(doors.gateway.http_port, path, b"{}" if method == "POST" else None, method=method)
    assert (reply.status, reply.error) == (404, "there is nothing here")


def test_the_server_names_only_open_extensions(doors, bare_http, stub):
    told = json.loads(http_get(doors, "/v2").body)
    all_of_it = json.loads(bare_http("GET", "/v2")[1])
    assert "classification" in all_of_it["extensions"]
    left = set(all_of_it["extensions"]) & EXTENSIONS
    assert left == EXTENSIONS
    assert set(told.pop("extensions")) == left
    assert told == {name: all_of_it[name] for name in told}
    over_grpc = stub.ServerMetadata(service_pb2.ServerMetadataRequest())
    assert {*over_grpc.extensions} == left
    assert {"name": over_grpc.name, "version": over_grpc.version} == told


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", INFER, "POST"),
        ("POST", "/v2", "GET, HEAD"),
        ("DELETE", "/v2/models/align_text", "GET, HEAD"),
        ("PUT", INFER, "POST"),
    ],
)
def test_a_wrong_method_names_the_right_ones(doors, method, path, allowed):
    reply = http(doors.gateway.http_port, path, method=method)
    assert (reply.status, reply.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/healthz", "/v2/health/ready", "/v2", "/v2/models/align_text"])
def test_head_is_answered_as_get_without_body(doors, path):
    reply = http(doors.gateway.http_port, path, method="HEAD")
    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize("port", ["http_port", "metrics_port"])
@pytest.mark.parametrize(
    "sent", [b"GET /healthz HTTP/1.1\r\nHost: a", b"GET / HTTP/1.1\r\nHost: a", b"nonsense"]
)
def test_no_answer_reveals_a_library_version(doors, port, sent):
    address = ("127.0.0.1", getattr(doors.gateway, port))
    with socket.create_connection(address, 10) as connection:
        connection.sendall(sent + b"\r\n\r\n")
        headers = connection.recv(10_000)
    assert b"\r\nServer: align-zoo\r\n" in headers
    assert b"aiohttp" not in headers and b"Python" not in headers


@pytest.mark.parametrize("encoding", ["br", "gzip, br", "nonsense"])
def test_refusal_names_the_unsupported_content_encoding(doors, encoding):
    reply = http(doors.gateway.http_port, INFER, b"abc", headers={"Content-Encoding": encoding})
    words = f"Content-Encoding '{encoding.replace(' ', '?')}' is not read here: accepted are "
    assert (reply.status, reply.error) == (415, words + "gzip, deflate, identity")


@pytest.mark.parametrize("port", ["http_port", "metrics_port"])
def test_healthz_reports_the_health(own_doors, port):
    doors = own_doors()
    reply = http(getattr(doors.gateway, port), "/healthz")
    assert (reply.status, json.loads(reply.body)["ready"]) == (200, True)
    doors.well = False
    reply = http(getattr(doors.gateway, port), "/healthz")
    assert (reply.status, json.loads(reply.body)) == (
        503,
        {"ready": False, "stopping": False, "why": "test"},
    )


def test_not_ready_follows_the_health_report(own_doors):
    doors = own_doors()
    doors.well = False
    statuses = {
        path: http_get(doors, f"/v2/{path}").status
        for path in ("health/live", "health/ready", "models/align_text/ready")
    }
    assert statuses == {"health/live": 200, "health/ready": 503, "models/align_text/ready": 503}


def test_missing_backend_is_refused_at_once_with_reason(own_doors):
    doors = own_doors()
    doors.unset("it is loading the models")
    reply = http(doors.gateway.http_port, INFER, json_request("a"))
    assert (reply.status, reply.error) == (503, "server not ready: it is loading the models")
    assert reply.headers["Retry-After"] == "1"


def test_an_id_comes_back(doors):
    port = doors.gateway.http_port
    reply = http(port, INFER, json_request("a"), headers={"Align-Request-Id": "0123abcd"})
    assert reply.headers["Align-Request-Id"] == "0123abcd"
    assert http(port, INFER, b"{").headers["Align-Request-Id"]


def test_the_requests_of_both_protocols_are_counted_together(own_doors):
    doors = own_doors()
    assert http(doors.gateway.http_port, INFER, json_request("a")).status == 200
    assert doors.count("align_zoo_requests_total", model="align_text", code="OK") == 1
    assert http(doors.gateway.http_port, INFER, json_request("")).status == 400
    labels = {"model": "align_text", "code": "INVALID_ARGUMENT"}
    assert doors.count("align_zoo_requests_total", **labels) == 1
