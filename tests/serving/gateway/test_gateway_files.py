"""More connections than this process can have files: some are turned away, the others answered."""

import contextlib
import http.client
import os
import resource
import socket
import ssl
import tracemalloc
from pathlib import Path

import pytest
from authorities import Authority
from doors import stub_at
from messages import http as call_http
from messages import message
from waiting import wait_until

from align_zoo.serving.gateway.files import share


def open_now():
    """How many files are, as far as they have no gaps."""
    with Path(os.devnull).open() as lowest:
        return lowest.fileno()


@pytest.fixture(autouse=True)
def _few_files():
    """Little more than there are open now; half of it is for the callers in this process."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = 2 * open_now() + 200
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def answered(connection):
    """Whether a caller that keeps its connection is."""
    try:
        connection.request("GET", "/v2/health/live")
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return False
    return answer.status == 200


@contextlib.contextmanager
def as_many_as_may(port):
    """Connections to HTTP, until one is turned away."""
    with contextlib.ExitStack() as stack:
        let_in = []
        for _ in range(resource.getrlimit(resource.RLIMIT_NOFILE)[0]):
            one = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            stack.callback(one.close)
            if not answered(one):
                break
            let_in.append(one)
        yield let_in


def test_http_refuses_connections_before_files_run_out(own_doors, caplog, capfd):
    doors = own_doors()
    port = doors.gateway.http_port
    with as_many_as_may(port) as let_in:
        assert 10 < len(let_in) < 100
        assert open_now() < resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 2 / 3
        assert all(answered(each) for each in let_in)
        assert call_http(doors.gateway.metrics_port, "/healthz").status == 200
        with stub_at(doors.grpc_url) as stub:
            assert stub.ModelInfer(message("align_text", [b"a"]), timeout=30)
    wait_until(lambda: call_http_or_none(port) == 200)
    assert caplog.text + capfd.readouterr().err == ""


def call_http_or_none(port):
    with contextlib.suppress(OSError):
        return call_http(port, "/healthz").status


def test_grpc_refuses_connections_before_files_run_out(own_doors):
    doors = own_doors()
    with contextlib.ExitStack() as stack:

        def let_in():
            one = socket.create_connection(("127.0.0.1", doors.gateway.grpc_port), 10)
            stack.enter_context(one)
            with contextlib.suppress(ConnectionResetError):
                return bool(one.recv(1))  # its settings come first
            return False

        count = sum(iter(let_in, False))
        assert 10 < count <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] / 4
    with stub_at(doors.grpc_url) as stub:
        stub.ModelInfer(message("align_text", [b"a"]), timeout=30, wait_for_ready=True)


@pytest.mark.parametrize(
    ("limit", "files"),
    [(1000, 250), (2**16, 2**14), (2**20, 2**14), (resource.RLIM_INFINITY, 2**14)],
)
def test_connections_are_bounded_with_a_million_files(monkeypatch, limit, files):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert share(1 / 4) == files


def test_silent_tls_connection_takes_little_memory(own_doors, tmp_path):
    authority = Authority(tmp_path)
    doors = own_doors(**authority.issue("localhost"))
    context = ssl.create_default_context(cafile=authority.ca_file)
    tracemalloc.start()
    try:
        with contextlib.ExitStack() as stack:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(20):
                plain = socket.create_connection(("127.0.0.1", doors.gateway.http_port), 10)
                stack.enter_context(context.wrap_socket(plain, server_hostname="localhost"))
            after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20 * 128 * 1024
