"""What can be seen from outside: metrics, and lines of the log."""

import json

import grpc
import pytest
from calls import INPUTS
from doors import stub_at
from messages import http, json_request, message, refused
from prometheus_client.parser import text_string_to_metric_families
from tritonclient.grpc import service_pb2
from waiting import wait_until

from align_zoo.serving.gateway.refusal import Reason
from align_zoo.serving.supervision.watch import Cause


def read(doors):
    reply = http(doors.gateway.metrics_port, "/metrics")
    assert reply.status == 200
    return {each.name: each for each in text_string_to_metric_families(reply.body.decode())}


def value(family, suffix="", **labels):
    (sample,) = (
        each
        for each in family.samples
        if each.name == family.name + suffix and each.labels == labels
    )
    return sample.value


def test_metrics_of_gateway_and_tritonserver_are_merged(own_doors):
    doors = own_doors()
    with stub_at(doors.grpc_url) as stub:
        stub.ModelInfer(message("align_text", [b"a", b"b", b"c"]))
    families = read(doors)
    assert value(families["align_zoo_requests"], "_total", model="align_text", code="OK") == 1
    assert value(families["align_zoo_items"], "_total", model="align_text") == 3
    assert value(families["align_zoo_request_items"], "_sum", model="align_text") == 3
    for name in ("align_zoo_request_seconds", "align_zoo_queue_seconds"):
        assert value(families[name], "_count", model="align_text") == 1
    assert value(families["align_zoo_waiting"], model="align_text") == 0
    assert families["nv_inference_request_success"].samples


def test_supervisor_metrics_are_read_on_request(own_doors):
    doors = own_doors()
    assert value(read(doors)["align_zoo_probe_age_seconds"], model="align_image") == float("inf")
    doors.ages = {"align_image": 1.5, "align_text": 2.5}
    doors.metrics.restarted("the process of align_image died")
    doors.metrics.restarted("the process of align_image died")
    families = read(doors)
    assert value(families["align_zoo_probe_age_seconds"], model="align_text") == 2.5
    cause = {"cause": "the process of align_image died"}
    assert value(families["align_zoo_restarts"], "_total", **cause) == 2


def test_counters_start_at_0(own_doors):
    families = read(own_doors())
    for cause in Cause:
        assert value(families["align_zoo_restarts"], "_total", cause=cause.name.lower()) == 0
    for model in ("", *INPUTS):
        for reason in set(Reason) - {Reason.DIED}:  # those have reached tritonserver
            labels = {"model": model, "reason": reason.label}
            assert value(families["align_zoo_rejected"], "_total", **labels) == 0


def test_ready_metric_is_0_when_not_ready(own_doors):
    doors = own_doors()
    assert value(read(doors)["align_zoo_ready"]) == 1
    doors.well = False
    assert value(read(doors)["align_zoo_ready"]) == 0
    doors.well = True
    doors.drain(0)
    assert value(read(doors)["align_zoo_ready"]) == 0


def test_gateway_metrics_exist_without_a_backend(own_doors):
    doors = own_doors()
    doors.unset("it is starting")
    families = read(doors)
    assert "align_zoo_ready" in families
    assert not any(name.startswith("nv_") for name in families)


@pytest.mark.parametrize("port", ["http_port", "grpc_port"])
def test_metrics_are_at_their_own_port_only(doors, port):
    if port == "http_port":
        assert http(doors.gateway.http_port, "/metrics").status == 404
    assert http(doors.gateway.metrics_port, "/v2").status == 404


def lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def requests(text):
    """Lines of single requests; other gateways may sum up theirs meanwhile."""
    return [line for line in lines(text) if "id" in line]


def test_failed_request_is_logged_without_its_content(own_doors, capfd):
    doors = own_doors()
    with stub_at(doors.grpc_url) as stub, refused("INVALID_ARGUMENT", ""):
        stub.ModelInfer(message("align_text", [b"secret", b"\xffsecret"], id="0123abcd"))
    text = capfd.readouterr().err
    (line,) = requests(text)
    assert line["queue_ms"] <= line["ms"]
    assert {name: line[name] for name in line.keys() - {"time", "queue_ms", "ms"}} == {
        "level": "info",
        "event": "request",
        "id": "0123abcd",
        "model": "align_text",
        "items": 2,
        "code": "INVALID_ARGUMENT",
        "reason": "not_utf8",
    }
    assert "secret" not in text


def test_successful_request_is_logged_only_when_asked(own_doors, capfd, monkeypatch):
    doors = own_doors()

    def answered():
        return doors.count("align_zoo_items_total", model="align_text")  # the line comes with it

    with stub_at(doors.grpc_url) as stub:
        stub.ModelInfer(message("align_text", [b"a"]))
        assert answered() == 1
        assert requests(capfd.readouterr().err) == []
        monkeypatch.setenv("ALIGN_ZOO_LOG", "debug")
        stub.ModelInfer(message("align_text", [b"a"], id="0123abcd"))
        assert answered() == 2
    (line,) = requests(capfd.readouterr().err)
    assert (line["level"], line["code"], line["id"]) == ("debug", "OK", "0123abcd")


def test_refusals_log_one_line_a_second(own_doors, capfd):
    doors = own_doors()
    with stub_at(doors.grpc_url) as stub:
        for _ in range(100):
            with refused("PERMISSION_DENIED", ""):
                stub.RepositoryIndex(service_pb2.RepositoryIndexRequest())
    seen = []

    def all_are_counted():
        seen.extend(each for each in lines(capfd.readouterr().err) if each["reason"] == "closed")
        return sum(each.get("count", 1) for each in seen) == 100

    wait_until(all_are_counted, seconds=10)
    assert len(seen) <= 10
    assert {each["code"] for each in seen} == {"PERMISSION_DENIED"}


def test_caller_id_cannot_forge_a_log_line(own_doors, capfd):
    doors = own_doors()
    with stub_at(doors.grpc_url) as stub, refused("INVALID_ARGUMENT", ""):
        stub.ModelInfer(message("align_text", [b""], id='a"\n{"event": "forged"}' + "x" * 1000))
    (line,) = requests(capfd.readouterr().err)
    assert len(line["id"]) == 64


def told_ids(text):
    """All ids that the log has, of lines that stand for one request and of those for many."""
    return [id for line in lines(text) for id in [line.get("id"), *line.get("ids", [])] if id]


def over_grpc(doors, number):
    """A refused request; the id that its caller is told."""
    with stub_at(doors.grpc_url) as stub, pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(message("align_text", [b""], id=f"grpc{number}"))
    return dict(caught.value.trailing_metadata())["align-request-id"]


def over_http(doors, number):
    reply = http(doors.gateway.http_port, "/v2/models/align_text/infer", json_request(""))
    assert reply.status == 400
    return reply.headers["Align-Request-Id"]


def without_token(doors, number):
    doors.loop.call(doors.gateway._tokens.replace, ["secret"])
    with stub_at(doors.grpc_url) as stub, pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(
            message("align_text", [b"a"]), metadata=[("align-request-id", f"door{number}")]
        )
    return dict(caught.value.trailing_metadata())["align-request-id"]


def no_request(doors, number):
    with (
        grpc.insecure_channel(doors.grpc_url) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        infer(b"\xff", metadata=[("align-request-id", f"none{number}")])
    return dict(caught.value.trailing_metadata())["align-request-id"]


@pytest.mark.parametrize("call", [over_grpc, over_http, without_token, no_request])
def test_every_id_in_an_answer_is_logged(own_doors, capfd, call):
    doors = own_doors()
    told = [call(doors, number) for number in range(150)]
    doors.loop.run(doors.gateway.stop())
    text = capfd.readouterr().err
    assert len(set(told)) == len(told)
    assert [id for id in told_ids(text) if id in told] == told
    assert max(len(line.get("ids", [])) for line in lines(text)) <= 100


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v2/models/nobody/config"), ("DELETE", "/v2")]
)
def test_unlogged_error_carries_no_id(doors, method, path):
    reply = http(doors.gateway.http_port, path, method=method)
    assert reply.status in (400, 404, 405)
    assert "Align-Request-Id" not in reply.headers


@pytest.mark.parametrize(
    ("model", "item", "reason"),
    [
        ("align_text", b"", "empty"),
        ("align_text", b"\xff", "not_utf8"),
        ("align_text", b" ", "blank"),
        ("align_text", b"a" * 10_001, "too_long"),
        ("align_image", b"", "empty"),
        ("align_image", b"no image", "format"),
        ("align_image", b"\x89PNG\r\n\x1a\n", "damaged"),
    ],
)
def test_a_refused_input_is_logged_with_its_reason(own_doors, capfd, model, item, reason):
    doors = own_doors()
    with stub_at(doors.grpc_url) as stub, refused("INVALID_ARGUMENT", ""):
        stub.ModelInfer(message(model, [item], id="0123abcd"))
    assert [each["reason"] for each in requests(capfd.readouterr().err)] == [reason]


def test_tritonserver_refusal_is_an_answer_without_reason(own_doors, capfd):
    doors = own_doors()
    with stub_at(doors.grpc_url) as stub, refused("INVALID_ARGUMENT", ""):
        stub.ModelInfer(message("align_text", [b"a"] * 65, id="0123abcd"))
    assert [each["reason"] for each in requests(capfd.readouterr().err)] == ["answer"]
