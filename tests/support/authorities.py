"""Certificates, and calls that want to see some."""

import ssl
import urllib.error

import grpc
import trustme
from doors import stub_at
from messages import http, json_request, message

TEXT = message("align_text", [b"a"])
INFER = "/v2/models/align_text/infer"

# What a client meets when the server or its own certificate is not accepted.
NO_CONNECTION = (grpc.RpcError, ssl.SSLError, urllib.error.URLError, ConnectionError)


class Authority:
    """Makes certificates, and files of them."""

    def __init__(self, folder):
        self.ca = trustme.CA()
        self.folder = folder
        self.ca_file = folder / f"ca-{id(self)}.pem"
        self.ca.cert_pem.write_to_path(self.ca_file)

    def issue(self, *names, **options):
        certificate = self.ca.issue_cert(*names, **options)
        cert, key = (self.folder / f"{id(certificate)}.{kind}" for kind in ("cert", "key"))
        certificate.cert_chain_pems[0].write_to_path(cert)
        certificate.private_key_pem.write_to_path(key)
        return {"tls_cert": cert, "tls_key": key}


def over_grpc(doors, ca, own=None):
    files = [file.read_bytes() for file in (own["tls_key"], own["tls_cert"])] if own else []
    credentials = grpc.ssl_channel_credentials(ca.ca_file.read_bytes(), *files)
    url = doors.grpc_url.replace("127.0.0.1", "localhost")
    with stub_at(url, credentials) as stub:
        return stub.ModelInfer(TEXT, timeout=10)


def over_http(doors, ca, own=None):
    context = ssl.create_default_context(cafile=ca.ca_file)
    if own:
        context.load_cert_chain(own["tls_cert"], own["tls_key"])
    reply = http(doors.gateway.http_port, INFER, json_request("a"), tls=context, host="localhost")
    assert reply.status == 200
