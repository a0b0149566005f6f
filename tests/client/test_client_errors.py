"""Real messages of Triton and gRPC become exceptions of the client."""

import inspect
import pickle

import pytest
from scripted import Scripted
from tritonclient.utils import InferenceServerException

import align_client
from align_client import (
    AlignClient,
    AlignClientError,
    DeadlineExceeded,
    InvalidInput,
    ModelUnavailable,
    Overloaded,
    ServerUnavailable,
    Unauthorized,
)
from align_client.rules import failure_of

FAILED = "failed to connect to all addresses; last error: "


@pytest.mark.parametrize(
    "code, text, kind, words",
    [
        ("INVALID_ARGUMENT", "the image is empty (0 bytes)", InvalidInput, "^the image is emp"),
        (
            "INVALID_ARGUMENT",
            "unexpected inference input 'IMAGE' for model 'align_image'",
            ModelUnavailable,
            "align_image of host:1 does not speak align-zoo's contract",
        ),
        (
            "INVALID_ARGUMENT",
            "[request id: <id_unknown>] inference input 'IMAGE' data-type is 'BYTES', but model "
            "'align_image' expects 'FP32'",
            ModelUnavailable,
            "contract: inference input",
        ),
        (
            "INVALID_ARGUMENT",
            "[request id: <id_unknown>] unexpected shape for input 'IMAGE' for model "
            "'align_image'. Expected [-1,3,224,224], got [1,1].",
            ModelUnavailable,
            "contract",
        ),
        (
            "INVALID_ARGUMENT",
            "[request id: 7] expected 2 inputs but got 1 inputs for model 'align_image'",
            ModelUnavailable,
            "contract",
        ),
        (
            "INVALID_ARGUMENT",
            "[request id: <id_unknown>] inference request batch-size must be <= 8 for 'align_text'",
            ModelUnavailable,
            "batch size .* has changed.*call again",
        ),
        (
            "UNAVAILABLE",
            "[request id: <id_unknown>] Exceeds maximum queue size",
            Overloaded,
            "host:1 has too much to do",
        ),
        ("UNAVAILABLE", "Request timeout expired", Overloaded, "too much to do"),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", DeadlineExceeded, "host:1.*within 2.5 s"),
        (
            "UNAVAILABLE",
            FAILED + "UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: Connection "
            "refused",
            ServerUnavailable,
            "host:1 cannot be reached.*Connection refused",
        ),
        (
            "UNAVAILABLE",
            FAILED + "UNAVAILABLE: ipv4:127.0.0.1:8000: Socket closed",
            ServerUnavailable,
            "8001 is gRPC, 8000 HTTP",
        ),
        (
            "UNAVAILABLE",
            FAILED + "UNAVAILABLE: ipv4:127.0.0.1:80: Failed parsing HTTP/2 (Expected SETTINGS)",
            ServerUnavailable,
            "8001 is gRPC, 8000 HTTP",
        ),
        ("UNAVAILABLE", "Socket closed", ServerUnavailable, "cannot be reached: Socket closed"),
        ("UNAVAILABLE", "Server is stopping", ServerUnavailable, "starting or stopping"),
        (
            "UNAVAILABLE",
            "GRPC server is shutting down and has stopped accepting new requests.",
            ServerUnavailable,
            "starting or stopping",
        ),
        ("UNAVAILABLE", "Server exiting", ServerUnavailable, "starting or stopping"),
        ("UNAVAILABLE", "Server not ready", ServerUnavailable, "starting or stopping"),
        (
            "NOT_FOUND",
            "Request for unknown model: 'align_image' is not found",
            ModelUnavailable,
            "host:1 has no align_image.*is it an align-zoo server",
        ),
        (
            "NOT_FOUND",
            "Request for unknown model: 'align_image' has no available versions",
            ModelUnavailable,
            "finished loading",
        ),
        (
            "UNAVAILABLE",
            "Request for unknown model: 'align_image' version 1 is not at ready state",
            ModelUnavailable,
            "finished loading",
        ),
        (
            "INTERNAL",
            "Stub process 'align_image_0_0' is not healthy.",
            ModelUnavailable,
            "has died; the server must be restarted",
        ),
        ("INTERNAL", "internal error (MemoryError)", ModelUnavailable, "MemoryError"),
        (
            "UNAVAILABLE",
            "This protocol is restricted, expecting header 'triton-grpc-protocol-key'",
            Unauthorized,
            "triton-grpc-protocol-key",
        ),
        ("UNAUTHENTICATED", "bad token", Unauthorized, "bad token"),
        ("PERMISSION_DENIED", "not for you", Unauthorized, "not for you"),
        ("UNIMPLEMENTED", "Method not found!", ServerUnavailable, "is no Triton"),
        (
            "RESOURCE_EXHAUSTED",
            "CLIENT: Sent message larger than max (65000001 vs. 65000000)",
            InvalidInput,
            "too large to be sent",
        ),
        (
            "RESOURCE_EXHAUSTED",
            "Received message larger than max (65000001 vs. 64000000)",
            InvalidInput,
            "too large to be sent",
        ),
        (
            "RESOURCE_EXHAUSTED",
            "overloaded: 1000 requests wait for align_image",
            Overloaded,
            "too much to do .overloaded: 1000.*call again",
        ),
        (
            "UNAVAILABLE",
            "server not ready: it is starting",
            ServerUnavailable,
            "host:1 is starting or stopping .server not ready: it is starting",
        ),
        ("UNAVAILABLE", "server is stopping", ServerUnavailable, "host:1 is starting or stopping"),
        (
            "ABORTED",
            "server restarted: the process of align_image died",
            ServerUnavailable,
            "host:1 died while it worked on this request",
        ),
        ("UNAUTHENTICATED", "a bearer token is needed", Unauthorized, "give it .* as token="),
        (
            "UNAUTHENTICATED",
            "the bearer token is not accepted",
            Unauthorized,
            "refuses this caller: the bearer token is not accepted$",
        ),
        ("PERMISSION_DENIED", "closed: model control", Unauthorized, "closed: model control"),
        ("CANCELLED", "Channel closed!", AlignClientError, "cancelled"),
        ("CANCELLED", "CANCELLED", ServerUnavailable, "dropped the call"),
        ("DATA_LOSS", "strange", AlignClientError, "DATA_LOSS: strange"),
    ],
)
def test_failure_becomes_matching_exception(code, text, kind, words):
    error = failure_of(
        InferenceServerException(msg=text, status=f"StatusCode.{code}"),
        url="host:1",
        model="align_image",
        timeout=2.5,
    ).error
    assert type(error) is kind
    with pytest.raises(kind, match=words):
        raise error


@pytest.mark.parametrize("text", ["item 3: Exceeds maximum queue size", "label: is not ready"])
def test_code_decides_before_text(text):
    error = InferenceServerException(msg=text, status="StatusCode.INVALID_ARGUMENT")
    told = failure_of(error, url="host:1", model="align_text", timeout=1).error
    assert type(told) is InvalidInput and str(told) == text


def test_error_without_code_or_text_is_an_alignclienterror():
    told = failure_of(InferenceServerException(msg=None), url="h:1", model="m", timeout=1).error
    assert type(told) is AlignClientError


@pytest.mark.parametrize("braces", ["{}", "{0.__class__}", "{url"])
def test_braces_in_server_text_are_literal(braces):
    error = InferenceServerException(msg=braces, status="StatusCode.INVALID_ARGUMENT")
    assert str(failure_of(error, url="h:1", model="m", timeout=1).error) == braces


class TestRequestId:
    def failed(self, id):
        error = InferenceServerException(msg="[request id: x] bad", status="StatusCode.INTERNAL")
        return failure_of(error, url="h:1", model="m", timeout=1, request_id=id).error

    def test_request_id_ends_message_and_is_attribute(self):
        error = self.failed("ab12")
        assert str(error) == "m on h:1 failed: bad (request ab12)"
        assert error.request_id == "ab12"
        assert error.message == "m on h:1 failed: bad"

    def test_no_request_id_without_request(self):
        assert self.failed(None).request_id is None

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            ("UNAVAILABLE", FAILED + "Connection refused"),
            ("UNAVAILABLE", FAILED + "SSL routines: wrong version number"),
            ("RESOURCE_EXHAUSTED", "CLIENT: Sent message larger than max (9 vs. 8)"),
            ("RESOURCE_EXHAUSTED", "Received message larger than max (9 vs. 8)"),
        ],
    )
    def test_no_request_id_if_no_server_saw_request(self, code, words):
        said = InferenceServerException(words, f"StatusCode.{code}")
        failure = failure_of(said, url="h:1", model="m", timeout=1, request_id="ab12")
        assert failure.error.request_id is None
        assert "ab12" not in str(failure.error)
        assert str(self.failed(None)) == "m on h:1 failed: bad"

    def test_pickling_keeps_request_id(self):
        error = pickle.loads(pickle.dumps(self.failed("ab12")))
        assert str(error) == "m on h:1 failed: bad (request ab12)"
        assert type(error) is ModelUnavailable and error.request_id == "ab12"

    def test_request_id_is_the_server_s(self):
        with Scripted() as server, AlignClient(server.url, retries=False) as client:
            server.refuse("INVALID_ARGUMENT", "bad", times=3)
            for call, item in ((client.embed_image, [b"image"]), (client.embed_text, ["a"])):
                with pytest.raises(
                    InvalidInput, match=r"0: bad \(request [0-9a-f]{16}\)$"
                ) as caught:
                    call(item)
                assert caught.value.request_id == server.requests[-1][1]

    def test_each_request_has_its_own_id(self):
        with Scripted() as server, AlignClient(server.url) as client:
            client.embed_image([b"image"] * 50)
            assert len(server.count()) == 50


def errors():
    exported = (getattr(align_client, name) for name in align_client.__all__)
    return [e for e in exported if inspect.isclass(e) and issubclass(e, Exception)]


def test_exceptions_have_base_example_and_way_out():
    assert len(errors()) == 7
    for error in errors():
        assert issubclass(error, AlignClientError)
        _, example, way_out = error.__doc__.split("\n\n")
        assert ">>> " in example
        assert ">>> " not in way_out
