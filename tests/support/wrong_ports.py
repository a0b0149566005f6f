"""What may listen where somebody expects a gRPC server."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc
import trustme

__all__ = ["WRONG_PORTS"]


class _Quiet(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextmanager
def _nobody(certificate: trustme.LeafCert) -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextmanager
def _http(certificate: trustme.LeafCert, *, tls: bool = False) -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Quiet) as server:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextmanager
def _https(certificate: trustme.LeafCert) -> Iterator[int]:
    with _http(certificate, tls=True) as port:
        yield port


@contextmanager
def _hangs_up(certificate: trustme.LeafCert) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            try:
                while True:
                    listening.accept()[0].close()
            except OSError:  # the end of the test
                pass

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


@contextmanager
def _grpc(certificate: trustme.LeafCert, *, tls: bool = False) -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    if tls:
        chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
        pair = certificate.private_key_pem.bytes(), chain
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


@contextmanager
def _grpc_tls(certificate: trustme.LeafCert) -> Iterator[int]:
    with _grpc(certificate, tls=True) as port:
        yield port


WRONG_PORTS: dict[str, Callable] = {
    "nobody": _nobody,
    "http": _http,
    "https": _https,
    "hangs-up": _hangs_up,
    "other-grpc": _grpc,
    "other-grpc-tls": _grpc_tls,
}
"""By name: context managers that take a certificate of 127.0.0.1 and give a port."""
