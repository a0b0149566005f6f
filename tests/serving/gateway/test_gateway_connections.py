"""Connections that do nothing, or not what they should, are no trouble for the others."""

import contextlib
import socket
import statistics
import time
from types import SimpleNamespace

import grpc
import pytest
from doors import stub_at
from messages import http, json_request, message

from align_zoo import AlignZooError
from align_zoo.serving.gateway.gateway import Gateway
from align_zoo.serving.gateway.metrics import Metrics
from align_zoo.serving.gateway.options import GatewayOptions
from align_zoo.serving.gateway.ports import drop_the_dead
from align_zoo.serving.routing import Backends

TEXT = message("align_text", [b"a"])
INFER = "/v2/models/align_text/infer"
# HTTP/2's preface, and headers of a call whose message never comes.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
PING = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00"
POST = f"POST {INFER}".encode()
STALLED = [
    ("grpc_port", PREFACE[:10]),
    ("grpc_port", PREFACE),
    ("grpc_port", PREFACE + SETTINGS),
    ("grpc_port", PREFACE + SETTINGS + b"\x00\x00\x20\x01\x04\x00\x00\x00\x01"),
    ("http_port", POST),
    ("http_port", POST + b" HTTP/1.1\r\nHost: a\r\n"),
    (
        "http_port",
        POST + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{",
    ),
]


def milliseconds(stub, port, rounds=30):
    """The median of a call of each protocol."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        stub.ModelInfer(TEXT, timeout=30)
        assert http(port, INFER, json_request("a")).status == 200
        times.append((time.perf_counter() - begin) * 1000)
    return statistics.median(times)


@contextlib.contextmanager
def connections(ports, sent):
    """Sockets that have said something to each port, and go on saying nothing."""
    with contextlib.ExitStack() as stack:
        for port, words in zip(ports, sent, strict=True):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            connection.sendall(words)
        yield


@pytest.mark.alone
def test_a_thousand_idle_connections_disturb_nobody(own_doors):
    doors = own_doors()
    with stub_at(doors.grpc_url) as stub:
        port = doors.gateway.http_port
        alone = milliseconds(stub, port)
        ports = [doors.gateway.grpc_port, port] * 500
        with connections(ports, [b""] * 1000):
            assert milliseconds(stub, port) < 3 * alone + 20
            assert doors.deaths == []


@pytest.mark.alone
def test_stalled_connections_disturb_nobody(own_doors):
    doors = own_doors()
    with stub_at(doors.grpc_url) as stub:
        port = doors.gateway.http_port
        alone = milliseconds(stub, port)
        stalled = STALLED * 20
        ports = [getattr(doors.gateway, name) for name, _ in stalled]
        with connections(ports, [words for _, words in stalled]):
            assert milliseconds(stub, port) < 3 * alone + 20
        assert doors.drain(10)


def test_dead_grpc_caller_is_dropped(own_doors):
    doors = own_doors(silence_seconds=1.5)
    begin = time.perf_counter()
    with (
        stub_at(doors.grpc_url) as stub,
        socket.create_connection(("127.0.0.1", doors.gateway.grpc_port), 10) as gone,
    ):
        stub.ModelInfer(TEXT, timeout=30)
        gone.sendall(PREFACE + SETTINGS)
        said = b"".join(iter(lambda: gone.recv(1000), b""))
        assert 1.5 < time.perf_counter() - begin < 8
        assert PING in said, "it was not asked"
        stub.ModelInfer(TEXT, timeout=30)  # this one was as silent, but answers pings


def test_dead_http_caller_is_dropped_by_the_kernel():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        drop_the_dead(listening, 60)
        with (
            socket.create_connection(listening.getsockname()),
            listening.accept()[0] as accepted,
        ):
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            asked = [
                accepted.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            ]
            assert asked == [60, 5, 4]
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 80_000


def test_stalled_body_takes_no_place_in_queue(own_doors):
    doors = own_doors(at_once=1, queue_size=1)
    ports = [doors.gateway.http_port] * 5
    with connections(ports, [STALLED[-1][1]] * 5), stub_at(doors.grpc_url) as stub:
        for _ in range(5):
            stub.ModelInfer(TEXT, timeout=30)


@pytest.mark.parametrize("name", ["grpc", "http", "metrics"])
@pytest.mark.parametrize("listen", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_a_taken_port_is_named_and_nothing_listens(loop, name, listen):
    with socket.socket() as taken:
        # The option that servers use, which lets nobody share a port that is listened on.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = {"grpc_port": 0, "http_port": 0, "metrics_port": 0, f"{name}_port": port}
        options = GatewayOptions(listen=listen, metrics_listen=listen, insecure=True, **ports)

        async def start():
            gateway = Gateway(
                Backends(),
                options,
                Metrics(),
                SimpleNamespace(health=lambda: (True, {}), age=float),
            )
            try:
                await gateway.start()
            finally:
                for each in (gateway.http_port, gateway.metrics_port):
                    assert each in (0, port) or not listens(each)

        words = f"cannot listen on {listen}:{port}: .* choose another --{name}-port"
        with pytest.raises(AlignZooError, match=words):
            loop.run(start())


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_ipv6_wildcard_includes_ipv4(own_doors):
    doors = own_doors(listen="::", metrics_listen="::", insecure=True)
    for host in ("127.0.0.1", "[::1]"):
        with stub_at(f"{host}:{doors.gateway.grpc_port}") as stub:
            stub.ModelInfer(TEXT, timeout=30)
        for port in (doors.gateway.http_port, doors.gateway.metrics_port):
            assert http(port, "/healthz", host=host).status == 200


def test_two_gateways_do_not_share_a_port(own_doors):
    doors = own_doors()
    with pytest.raises(AlignZooError, match="--grpc-port"):
        own_doors(grpc_port=doors.gateway.grpc_port)


def test_ports_are_free_after_a_gateway_stops(loop, sockets, own_doors):
    doors = own_doors()
    ports = {
        name: getattr(doors.gateway, name) for name in ("grpc_port", "http_port", "metrics_port")
    }
    with stub_at(doors.grpc_url) as stub:
        stub.ModelInfer(TEXT)
        loop.run(doors.gateway.stop())
        with pytest.raises(grpc.RpcError):
            stub.ModelInfer(TEXT)
        own_doors(**ports)
        stub.ModelInfer(TEXT, wait_for_ready=True, timeout=30)
