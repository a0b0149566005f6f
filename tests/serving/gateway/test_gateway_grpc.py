"""gRPC through the gateway: what goes through, what is closed, and how it says that it is well."""

import dataclasses
import re

import grpc
import numpy as np
import pytest
from calls import ask
from doors import stub_at
from messages import embeddings, heavy_image, message, refused
from tritonclient import grpc as tritonclient
from tritonclient.grpc import service_pb2

OPEN = {
    "ServerMetadata",
    "ModelMetadata",
    "ModelConfig",
    "ModelStatistics",
    "ModelInfer",
    "ModelStreamInfer",
}
HEALTH = {"ServerLive", "ServerReady", "ModelReady"}
SERVICE = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
METHODS = {method.name: method for method in SERVICE.methods}


def call(stub_or_url, name, request=None):
    """One call by its name; the response, the first one of a stream."""
    request = request or service_pb2.__dict__[METHODS[name].input_type.name]()
    method = getattr(stub_or_url, name)
    if METHODS[name].client_streaming:
        return next(method(iter([request]), timeout=10))
    return method(request, timeout=10)


@pytest.mark.parametrize(
    ("model", "items"),
    [
        ("align_text", [b"a red circle"]),
        ("align_text", [b"a", b"blue", b"ring"]),
        ("align_image", [heavy_image(60)]),
    ],
)
def test_an_answer_is_tritonservers(bare, stub, model, items):
    asked = message(model, items, id="my own")
    expected, answer = bare.ModelInfer(asked), stub.ModelInfer(asked)
    np.testing.assert_allclose(embeddings(answer), embeddings(expected), atol=1e-6)
    for each in (expected, answer):
        del each.raw_output_contents[:]
    assert answer == expected


@pytest.mark.parametrize("name", ["ModelConfig", "ModelMetadata"])
def test_server_metadata_and_config_pass_through(bare, stub, name):
    kind = service_pb2.__dict__[METHODS[name].input_type.name]
    request = kind(name="align_text") if "name" in kind.DESCRIPTOR.fields_by_name else kind()
    assert call(stub, name, request) == call(bare, name, request)


@pytest.mark.parametrize("name", sorted(METHODS.keys() - OPEN - HEALTH))
def test_every_other_call_is_closed(stub, name):
    assert len(METHODS) > 15
    with refused("PERMISSION_DENIED", f"closed: {name} "):
        call(stub, name)


def test_nonexistent_call_is_unknown(doors):
    with grpc.insecure_channel(doors.grpc_url) as channel:
        unknown = channel.unary_unary("/inference.GRPCInferenceService/SomethingNew")
        with refused("UNIMPLEMENTED", "unknown: there is no call 'SomethingNew' here"):
            unknown(b"", timeout=10)
        other = channel.unary_unary("/other.Service/Method")
        with refused("UNIMPLEMENTED", ""):
            other(b"", timeout=10)


def test_tritonservers_errors_go_through_unchanged(bare, stub):
    versioned = message("align_text", [b"a"], id="abc")
    versioned.model_version = "7"
    for asked in (
        message("align_text", [b"\xff"], id="abc"),
        message("align_text", [b"a"] * 65, id="abc"),
        message("align_image", [b"no image"], id="abc"),
        service_pb2.ModelInferRequest(model_name="nobody", id="abc"),
        versioned,
    ):
        errors = []
        for each in (bare, stub):
            with pytest.raises(grpc.RpcError) as caught:
                each.ModelInfer(asked)
            errors.append((caught.value.code(), caught.value.details()))
        assert errors[0] == errors[1]


def test_request_id_is_returned_or_generated(stub):
    assert stub.ModelInfer(message("align_text", [b"a"], id="0123abcd")).id == "0123abcd"
    assert re.fullmatch("[0-9a-f]{16}", stub.ModelInfer(message("align_text", [b"a"])).id)


@pytest.mark.parametrize(("sent", "shown"), [("0123abcd", "0123abcd"), ("a\u00e9\n", "a??")])
def test_an_error_carries_the_id(stub, sent, shown):
    with refused("INVALID_ARGUMENT", "") as caught:
        stub.ModelInfer(message("align_text", [b""], id=sent))
    assert dict(caught.value.trailing_metadata())["align-request-id"] == shown


def test_the_gateway_is_live_and_ready(stub, doors):
    assert stub.ServerLive(service_pb2.ServerLiveRequest()).live
    assert stub.ServerReady(service_pb2.ServerReadyRequest()).ready
    for name, ready in (("align_image", True), ("nobody", False)):
        assert stub.ModelReady(service_pb2.ModelReadyRequest(name=name)).ready is ready
    assert health(doors.grpc_url) == b"\x08\x01"


def test_not_ready_follows_the_health_report(own_doors):
    doors = own_doors()
    doors.well = False  # tritonserver itself goes on saying that it is ready
    with stub_at(doors.grpc_url) as stub:
        assert stub.ServerLive(service_pb2.ServerLiveRequest()).live
        assert not stub.ServerReady(service_pb2.ServerReadyRequest()).ready
        assert not stub.ModelReady(service_pb2.ModelReadyRequest(name="align_text")).ready
    assert health(doors.grpc_url) == b"\x08\x02"


def health(url, service=b""):
    request = b"\x0a" + bytes([len(service)]) + service if service else b""
    with grpc.insecure_channel(url) as channel:
        return channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=10)


def test_health_is_known_for_service_and_models(doors):
    for name in (b"inference.GRPCInferenceService", b"align_image", b"align_text"):
        assert health(doors.grpc_url, name) == b"\x08\x01"
    with refused("NOT_FOUND", ""):
        health(doors.grpc_url, b"nobody")


def test_health_can_be_watched(own_doors):
    doors = own_doors()
    with grpc.insecure_channel(doors.grpc_url) as channel:
        told = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=30)
        assert next(told) == b"\x08\x01"
        doors.well = False
        assert next(told) == b"\x08\x02"
        doors.well = True
        assert next(told) == b"\x08\x01"
        told.cancel()


def test_missing_backend_is_refused_at_once_with_reason(own_doors):
    doors = own_doors()
    doors.unset("it is loading the models")
    with stub_at(doors.grpc_url) as stub:
        for name in OPEN:  # a stream, too: its start is refused
            with refused("UNAVAILABLE", "server not ready: it is loading the models"):
                call(stub, name)


def test_good_answers_are_reported(own_doors):
    doors = own_doors()
    with stub_at(doors.grpc_url) as stub:
        stub.ModelInfer(message("align_text", [b"a"]))
        with refused("INVALID_ARGUMENT", ""):
            stub.ModelInfer(message("align_image", [b"a"]))
    assert doors.answers == ["align_text"]
    assert doors.deaths == []


def test_tritonclient_works_as_with_tritonserver(doors):
    with tritonclient.InferenceServerClient(doors.grpc_url) as client:
        assert client.is_server_ready()
        assert ask(client, "align_text", [b"a"]).as_numpy("EMBEDDING").shape == (1, 128)


@pytest.mark.parametrize("name", sorted(OPEN - {"ModelStreamInfer"} | {"ModelReady"}))
def test_internal_error_reaches_caller_without_its_message(own_doors, capfd, name):
    doors = own_doors()
    request = message("align_text", [b"a"]) if name == "ModelInfer" else None
    # A channel that is none; the first words that Python has for it are a secret.
    broken = dataclasses.replace(doors.backends.current, channel="secret")
    doors.loop.call(doors.backends.set, broken)
    with stub_at(doors.grpc_url) as stub, refused("INTERNAL", "internal error (AttributeError)"):
        call(stub, name, request)
    written = capfd.readouterr().err
    assert "internal_error" in written
    assert "no attribute" not in written


@pytest.mark.parametrize("name", ["ServerReady", "ModelReady"])
def test_a_health_that_fails_is_not_ready(own_doors, name):
    doors = own_doors()
    doors.well = SecretTruth()
    with stub_at(doors.grpc_url) as stub:
        assert not call(stub, name).ready
    assert health(doors.grpc_url) == b"\x08\x02"


def test_error_before_handling_reaches_caller_without_message(own_doors):
    doors = own_doors(token_file=None)
    doors.loop.call(setattr, doors.gateway._tokens, "_digests", SecretTruth())
    with stub_at(doors.grpc_url) as stub, refused("INTERNAL", "internal error (ValueError)"):
        call(stub, "ServerMetadata")


class SecretTruth:
    """What cannot be asked whether it is true."""

    def __bool__(self):
        raise ValueError("a secret")
