"""Who may come in: bearer tokens and certificates, on gRPC and HTTP alike."""

import datetime

import pytest
from authorities import INFER, NO_CONNECTION, TEXT, Authority, over_grpc, over_http
from doors import open_doors, stub_at
from messages import http, json_request, refused
from tritonclient.grpc import service_pb2


@pytest.fixture(scope="module")
def guarded(loop, sockets, tmp_path_factory):
    """A gateway that wants one of two tokens."""
    file = tmp_path_factory.mktemp("tokens") / "tokens"
    file.write_text("old-secret\nnew-secret\n")
    with open_doors(loop, sockets, token_file=file) as doors:
        yield doors


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (None, "a bearer token is needed"),
        ("", "a bearer token is needed"),
        ("Bearer", "a bearer token is needed"),
        ("Bearer ", "a bearer token is needed"),
        ("Basic new-secret", "a bearer token is needed"),
        ("new-secret", "a bearer token is needed"),
        ("Bearer wrong", "the bearer token is not accepted"),
        ("Bearer new-secret2", "the bearer token is not accepted"),
        ("Bearer new-secre", "the bearer token is not accepted"),
        ("Bearer old-secret new-secret", "the bearer token is not accepted"),
    ],
)
def test_call_without_accepted_token_is_refused(guarded, header, words):
    metadata = [("authorization", header)] if header is not None else []
    with stub_at(guarded.grpc_url) as stub:
        for call, request in (
            (stub.ModelInfer, TEXT),
            (stub.ModelConfig, service_pb2.ModelConfigRequest(name="align_text")),
            (stub.ServerMetadata, service_pb2.ServerMetadataRequest()),
        ):
            with refused("UNAUTHENTICATED", words):
                call(request, metadata=metadata, timeout=10)
    headers = {"Authorization": header} if header is not None else {}
    for path, body in ((INFER, json_request("a")), ("/v2", None)):
        reply = http(guarded.gateway.http_port, path, body, headers=headers)
        assert (reply.status, reply.error) == (401, words)
        assert reply.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["Bearer old-secret", "Bearer new-secret", "bearer new-secret"])
def test_each_of_the_tokens_lets_in(guarded, header):
    with stub_at(guarded.grpc_url) as stub:
        stub.ModelInfer(TEXT, metadata=[("authorization", header)], timeout=10)
    reply = http(
        guarded.gateway.http_port, INFER, json_request("a"), headers={"Authorization": header}
    )
    assert reply.status == 200


def test_health_needs_no_token(guarded):
    with stub_at(guarded.grpc_url) as stub:
        assert stub.ServerReady(service_pb2.ServerReadyRequest()).ready
        assert stub.ModelReady(service_pb2.ModelReadyRequest(name="align_text")).ready
    for path in ("/healthz", "/v2/health/ready", "/v2/models/align_text/ready"):
        assert http(guarded.gateway.http_port, path).status == 200


def test_a_token_opens_nothing_that_is_closed(guarded):
    with stub_at(guarded.grpc_url) as stub, refused("PERMISSION_DENIED", "closed: "):
        stub.RepositoryIndex(
            service_pb2.RepositoryIndexRequest(), metadata=[("authorization", "Bearer new-secret")]
        )


def test_refusals_before_handling_are_counted(own_doors, tmp_path):
    (tmp_path / "tokens").write_text("secret")
    doors = own_doors(token_file=tmp_path / "tokens")
    with stub_at(doors.grpc_url) as stub, refused("UNAUTHENTICATED", ""):
        stub.ModelInfer(TEXT)
    assert http(doors.gateway.http_port, INFER, b"{}").status == 401
    assert doors.count("align_zoo_rejected_total", model="", reason="unauthorized") == 2


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """Another authority."""
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(params=[over_grpc, over_http])
def over(request):
    return request.param


def test_with_tls_the_right_authority_connects(own_doors, authority, over):
    over(own_doors(**authority.issue("localhost")), authority)


def test_a_wrong_authority_does_not_connect(own_doors, authority, stranger, over):
    doors = own_doors(**authority.issue("localhost"))
    with pytest.raises(NO_CONNECTION):
        over(doors, stranger)
    over(doors, authority)


def test_an_expired_certificate_does_not_connect(own_doors, authority, over):
    yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    with pytest.raises(NO_CONNECTION):
        over(own_doors(**authority.issue("localhost", not_after=yesterday)), authority)


def test_a_certificate_of_another_host_does_not_connect(own_doors, authority, over):
    with pytest.raises(NO_CONNECTION):
        over(own_doors(**authority.issue("elsewhere.example")), authority)


def test_plaintext_call_to_tls_server_fails(own_doors, authority):
    doors = own_doors(**authority.issue("localhost"))
    with stub_at(doors.grpc_url) as stub, refused("UNAVAILABLE", ""):
        stub.ModelInfer(TEXT, timeout=10)
    with pytest.raises(NO_CONNECTION):
        http(doors.gateway.http_port, INFER, json_request("a"))
    over_grpc(doors, authority)


def test_mutual_tls_wants_a_certificate_of_its_authority(own_doors, authority, stranger, over):
    doors = own_doors(**authority.issue("localhost"), tls_client_ca=authority.ca_file)
    over(doors, authority, authority.issue("caller.example"))
    with pytest.raises(NO_CONNECTION):
        over(doors, authority)
    with pytest.raises(NO_CONNECTION):
        over(doors, authority, stranger.issue("caller.example"))


def test_a_token_and_tls_are_wanted_together(own_doors, authority, tmp_path):
    (tmp_path / "tokens").write_text("secret")
    doors = own_doors(**authority.issue("localhost"), token_file=tmp_path / "tokens")
    with refused("UNAUTHENTICATED", "a bearer token is needed"):
        over_grpc(doors, authority)
