"""The client and `align-zoo probe` name what listens on a port that is not Triton's gRPC."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trustme
from wrong_ports import WRONG_PORTS

from align_client import AlignClient, ServerUnavailable
from align_zoo.serving.credentials import Access
from align_zoo.serving.probe import explain, probe

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("127.0.0.1")
OTHER = trustme.CA()

# (what listens, whether the caller uses TLS): the messages of the client and of the probe.
WORDS = {
    ("nobody", False): ("cannot be reached", "nobody listens there"),
    ("nobody", True): ("cannot be reached", "nobody listens there"),
    ("http", False): ("is no gRPC server", "is no gRPC"),
    ("http", True): ("speaks no TLS: leave tls out", "speaks no TLS: leave --tls-ca"),
    ("https", False): (r"or one that wants TLS \(tls=", r"wants TLS \(--tls-ca\)"),
    ("https", True): ("speaks TLS but no gRPC", "speaks TLS but no gRPC"),
    ("hangs-up", False): ("is no gRPC server", "hangs up: "),
    ("hangs-up", True): ("does not accept this client's certificate", "hangs up: "),
    ("other-grpc", False): ("speaks gRPC but is no Triton", "speaks gRPC but is no Triton"),
    ("other-grpc", True): ("speaks no TLS: leave tls out", "speaks no TLS: leave --tls-ca"),
    ("other-grpc-tls", False): (r"or one that wants TLS \(tls=", r"wants TLS \(--tls-ca\)"),
    ("other-grpc-tls", True): ("speaks gRPC but is no Triton", "speaks gRPC but is no Triton"),
}


@pytest.fixture
def ca(tmp_path) -> Path:
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


@pytest.fixture(params=WORDS, ids=lambda case: f"{case[0]}{'-by-tls' if case[1] else ''}")
def case(request) -> tuple[str, bool, str, str]:
    name, tls = request.param
    with WRONG_PORTS[name](CERTIFICATE) as port:
        yield f"127.0.0.1:{port}", tls, *WORDS[name, tls]


def test_client_names_what_listens(case, ca):
    url, tls, words, _ = case
    with (
        AlignClient(url, tls=ca if tls else False, timeout=5) as client,
        pytest.raises(ServerUnavailable, match=words) as caught,
    ):
        client.embed_text("a")
    assert url in str(caught.value)


def test_probe_names_what_listens_once(case, ca):
    url, tls, _, words = case
    well, why = explain(probe(url, timeout=5, access=Access(tls_ca=ca if tls else None)))
    assert not well
    assert len(re.findall(words, why)) == 1, why


def test_probe_names_foreign_certificate(tmp_path):
    OTHER.cert_pem.write_to_path(tmp_path / "other.pem")
    with WRONG_PORTS["other-grpc-tls"](CERTIFICATE) as port:
        access = Access(tls_ca=tmp_path / "other.pem")
        _, why = explain(probe(f"127.0.0.1:{port}", timeout=5, access=access))
    assert why.startswith("the server's certificate is not accepted: --tls-ca names")


def test_probe_names_unknown_host():
    _, why = explain(probe("no-such-host.invalid:8001", timeout=5))
    assert why.startswith("there is no such host")
