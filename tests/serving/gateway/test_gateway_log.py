"""Requests that aiohttp itself refuses: counted, and never written down."""

import json
import os
import socket
import subprocess
import sys

import pytest
from authorities import Authority
from waiting import wait_until

INFER = b"POST /v2/models/align_text/infer HTTP/1.1\r\nHost: a\r\n"
MALFORMED = [
    b"GET /v2 HTTP/1.1\r\nAuthorization: Bearer secret\x01\r\n\r\n",
    b"GET /secret\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://[secret/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"secret / HTTP/1.1\r\n\r\n",
    INFER + b"Content-Length: secret\r\n\r\n",
]
BROKEN_BODIES = [
    INFER + b"Transfer-Encoding: chunked\r\n\r\nsecret\r\n",
    *(
        INFER + f"Content-Encoding: {coding}\r\nContent-Length: 6\r\n\r\nsecret".encode()
        for coding in ("gzip", "deflate", "br", "secret")
    ),
]


def answered(port, sent):
    """Send it and be silent; whether it got an error of the caller's."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(sent)
        return b" 400 " in connection.recv(1000).split(b"\r\n")[0]


@pytest.mark.parametrize("port", ["http_port", "metrics_port"])
def test_invalid_http_is_counted_but_not_logged(own_doors, capfd, port):
    doors = own_doors()
    for sent in MALFORMED:
        assert answered(getattr(doors.gateway, port), sent)
    labels = {"model": "", "reason": "malformed"}
    assert doors.count("align_zoo_rejected_total", **labels) == len(MALFORMED)
    (line, *_) = capfd.readouterr().err.splitlines()
    assert json.loads(line)["reason"] == "malformed"


@pytest.mark.parametrize("port", ["http_port", "metrics_port"])
def test_content_of_invalid_http_is_never_logged(own_doors, capfd, caplog, port):
    doors = own_doors()
    for sent in (*MALFORMED, *BROKEN_BODIES):
        answered(getattr(doors.gateway, port), sent)
    written = capfd.readouterr().err + caplog.text
    assert "malformed" in written
    assert "secret" not in written and "Traceback" not in written


def test_invalid_http_logs_one_line_a_second(own_doors, capfd):
    doors = own_doors()
    for _ in range(100):
        assert answered(doors.gateway.http_port, MALFORMED[0])
    seen = []

    def all_are_told():  # another gateway may sum up its own meanwhile
        seen.extend(json.loads(line) for line in capfd.readouterr().err.splitlines())
        return sum(each.get("count", 1) for each in seen) >= 100

    wait_until(all_are_told, seconds=10)
    assert len(seen) <= 10


KNOCKED_AT = """
import asyncio, socket, sys
from pathlib import Path
from types import SimpleNamespace
import align_zoo.serving.serve  # what the command begins with
import grpc
from align_zoo.serving.routing import Backends
from align_zoo.serving.gateway.gateway import Gateway
from align_zoo.serving.gateway.metrics import Metrics
from align_zoo.serving.gateway.options import GatewayOptions

def knock(port):
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\\r\\n\\r\\n")
        while connection.recv(100):
            pass

def call(port):
    headers = [(f"header-{number}", "a") for number in range(800)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        try:
            infer(b"", metadata=headers, timeout=10)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, error

async def main():
    tls = dict(zip(["tls_cert", "tls_key"], map(Path, sys.argv[1:])))
    options = GatewayOptions(grpc_port=0, http_port=0, metrics_port=0, **tls)
    supervision = SimpleNamespace(health=lambda: (True, {}), age=float)
    gateway = Gateway(Backends(), options, Metrics(), supervision)
    await gateway.start()
    if tls:
        await asyncio.to_thread(knock, gateway.grpc_port)
        await asyncio.to_thread(knock, gateway.http_port)
    else:
        await asyncio.to_thread(call, gateway.grpc_port)
    await gateway.stop()

asyncio.run(main())
"""


def written_when_knocked_at(*files, **asked_for):
    """The lines beside a gateway's own when a caller lacks TLS; without files, has many headers."""
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    ended = subprocess.run(
        [sys.executable, "-c", KNOCKED_AT, *files],
        env=environment | asked_for,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [line for line in ended.stderr.splitlines() if not line.startswith("{")]


@pytest.mark.parametrize(("asked_for", "told"), [({}, False), ({"GRPC_VERBOSITY": "INFO"}, True)])
def test_plaintext_to_tls_is_logged_only_when_asked(tmp_path, asked_for, told):
    own = Authority(tmp_path).issue("localhost")
    assert bool(written_when_knocked_at(own["tls_cert"], own["tls_key"], **asked_for)) is told


@pytest.mark.parametrize(("asked_for", "told"), [({}, False), ({"GRPC_VERBOSITY": "ERROR"}, True)])
def test_too_many_headers_are_logged_only_when_asked(asked_for, told):
    assert bool(written_when_knocked_at(**asked_for)) is told
