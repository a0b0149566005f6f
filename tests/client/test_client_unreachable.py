"""No server or the wrong server answers, over real loopback sockets."""

import http.server
import socket
import threading
import time
from concurrent import futures

import grpc
import numpy as np
import pytest

from align_client import AlignClient, AlignClientError, DeadlineExceeded, ServerUnavailable

IMAGE = np.zeros((4, 4, 3), np.uint8)


@pytest.fixture
def nobody():
    """An address whose port is bound, but not listening."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def silent():
    """A server that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def http_server():
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def other_grpc():
    """A gRPC server without Triton's methods."""
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


CALLS = [
    lambda client: client.classify(IMAGE, ["a"]),
    lambda client: client.similarity(IMAGE, ["a"]),
    lambda client: client.embed_image([IMAGE] * 3),
    lambda client: client.embed_text(["a", "b"]),
    lambda client: client.temperature(),
]


@pytest.mark.parametrize("call", CALLS)
def test_closed_port_is_named_at_once(nobody, call):
    with AlignClient(nobody, timeout=20) as client:
        start = time.monotonic()
        with pytest.raises(ServerUnavailable, match=f"{nobody} cannot be reached") as caught:
            call(client)
    assert time.monotonic() - start < 5
    assert caught.value.__cause__ is not None


def test_unknown_host_is_unavailable():
    with (
        AlignClient("no-such-host.invalid:8001", timeout=10) as client,
        pytest.raises(ServerUnavailable, match=r"no-such-host\.invalid:8001"),
    ):
        client.embed_text("a")


def test_failing_name_lookup_fails_at_once(nobody):
    with AlignClient(f"dns://{nobody}/host:1", timeout=20) as client:
        start = time.monotonic()
        with pytest.raises(ServerUnavailable, match=r"host:1 cannot be reached: .*DNS servers"):
            client.embed_text("a")
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("call", CALLS)
def test_http_server_is_named(http_server, call):
    with (
        AlignClient(http_server, timeout=10) as client,
        pytest.raises(ServerUnavailable, match="8001 is gRPC, 8000 HTTP"),
    ):
        call(client)


@pytest.mark.parametrize("call", CALLS)
def test_other_grpc_server_is_named(other_grpc, call):
    with (
        AlignClient(other_grpc, timeout=10) as client,
        pytest.raises(ServerUnavailable, match="no Triton"),
    ):
        call(client)


@pytest.mark.parametrize("call", CALLS)
def test_timeout_covers_all_requests_of_a_call(silent, call):
    with AlignClient(silent, timeout=0.5, max_in_flight=1) as client:
        start = time.monotonic()
        with pytest.raises(DeadlineExceeded, match=f"{silent} did not answer within 0.5 s"):
            call(client)
    assert 0.4 < time.monotonic() - start < 2


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("where", ["nobody", "silent", "http_server", "other_grpc"])
def test_ready_is_false_and_raises_nothing(request, where, deep):
    with AlignClient(request.getfixturevalue(where), timeout=0.5) as client:
        assert client.ready(deep=deep) is False


def test_a_closed_client_says_so(nobody):
    client = AlignClient(nobody)
    client.close()
    client.close()
    for call in [*CALLS, lambda client: client.ready()]:
        with pytest.raises(AlignClientError, match="closed"):
            call(client)


@pytest.mark.parametrize("requests", [1, 100])
def test_closing_ends_the_calls_under_way(silent, requests):
    client = AlignClient(silent, timeout=30)
    start = time.monotonic()
    threading.Timer(0.3, client.close).start()
    with pytest.raises(AlignClientError, match="closed"):
        client.embed_image([IMAGE] * requests)
    assert time.monotonic() - start < 5


def test_closing_ends_ready(silent):
    client = AlignClient(silent, timeout=30)
    threading.Timer(0.3, client.close).start()
    with pytest.raises(AlignClientError, match="closed"):
        client.ready()


def test_closing_ends_call_without_connection(silent, monkeypatch):
    client = AlignClient(silent, timeout=5)
    connect = client._runtime.channels.to

    def closed_first(*args, **options):
        client.close()
        return connect(*args, **options)

    monkeypatch.setattr(client._runtime.channels, "to", closed_first)
    start = time.monotonic()
    with pytest.raises(AlignClientError, match="closed"):
        client.embed_image(IMAGE)
    assert time.monotonic() - start < 3
