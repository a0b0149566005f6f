"""Certificates and tokens over real TLS."""

import asyncio
import datetime

import grpc
import pytest
import trustme
from scripted import Scripted

from align_client import (
    AlignClient,
    AsyncAlignClient,
    InvalidInput,
    ServerUnavailable,
    Tls,
    Unauthorized,
)

CA, OTHER_CA = trustme.CA(), trustme.CA()
GOOD = CA.issue_cert("127.0.0.1", "localhost")
OF_ANOTHER_HOST = CA.issue_cert("elsewhere.example")
EXPIRED = CA.issue_cert(
    "127.0.0.1",
    not_before=datetime.datetime(2020, 1, 1),
    not_after=datetime.datetime(2021, 1, 1),
)
CALLER, STRANGER = CA.issue_cert("me@example.org"), OTHER_CA.issue_cert("me@example.org")


def credentials(certificate, *, of_callers=False):
    pair = certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes()
    return grpc.ssl_server_credentials(
        [pair], CA.cert_pem.bytes() if of_callers else None, of_callers
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    for name, ca in (("ca", CA), ("other_ca", OTHER_CA)):
        ca.cert_pem.write_to_path(folder / f"{name}.pem")
    for name, certificate in (("caller", CALLER), ("stranger", STRANGER)):
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        certificate.private_key_pem.write_to_path(folder / f"{name}.key")
    (folder / "empty.pem").touch()
    return folder


def ask(url, **options):
    with AlignClient(url, timeout=10, **options) as client:
        return client.embed_image(b"image")


@pytest.fixture(scope="module")
def server():
    with Scripted(credentials=credentials(GOOD), token="secret") as server:
        yield server


@pytest.fixture(scope="module")
def strict():
    """A server that requires a client certificate."""
    with Scripted(credentials=credentials(GOOD, of_callers=True)) as server:
        yield server


@pytest.fixture(scope="module")
def plain():
    with Scripted(token="secret") as server:
        yield server


class TestCertificates:
    @pytest.mark.parametrize("kind", [str, lambda path: path, lambda path: Tls(ca=path)])
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "dns:///localhost"])
    def test_certificate_of_given_authority_is_accepted(self, server, files, kind, host):
        url = f"{host}:{server.port}"
        assert ask(url, tls=kind(files / "ca.pem"), token="secret").shape == (1, 2)

    def test_async_certificate_of_given_authority_is_accepted(self, server, files):
        async def use():
            async with AsyncAlignClient(server.url, tls=files / "ca.pem", token="secret") as client:
                return await client.embed_text("a")

        assert asyncio.run(use()).shape == (1, 2)

    @pytest.mark.parametrize("tls", ["other_ca.pem", True])
    def test_untrusted_certificate_is_reported(self, server, files, tls):
        tls = tls if tls is True else files / tls
        words = rf"certificate of {server.url} is not accepted: .*local issuer"
        with pytest.raises(ServerUnavailable, match=words):
            ask(server.url, tls=tls)

    @pytest.mark.parametrize(
        "certificate, words",
        [(EXPIRED, "certificate has expired"), (OF_ANOTHER_HOST, "Hostname Verification")],
        ids=["expired", "wrong host"],
    )
    def test_invalid_certificate_is_reported_with_reason(self, files, certificate, words):
        with (
            Scripted(credentials=credentials(certificate)) as server,
            pytest.raises(ServerUnavailable, match=f"is not accepted: .*{words}"),
        ):
            ask(server.url, tls=files / "ca.pem")

    def test_replica_with_expired_certificate_is_skipped(self, files, server):
        with Scripted(credentials=credentials(EXPIRED)) as expired:
            urls = [expired.url, server.url]
            assert ask(urls, tls=files / "ca.pem", token="secret").shape == (1, 2)

    def test_valid_client_certificate_is_accepted(self, strict, files):
        tls = Tls(files / "ca.pem", files / "caller.pem", files / "caller.key")
        assert ask(strict.url, tls=tls).shape == (1, 2)

    @pytest.mark.parametrize("name", [None, "stranger"])
    def test_invalid_client_certificate_is_reported(self, strict, files, name):
        own = [files / f"{name}.pem", files / f"{name}.key"] if name else []
        with pytest.raises(ServerUnavailable, match=r"does not accept this client's certificate"):
            ask(strict.url, tls=Tls(files / "ca.pem", *own))

    def test_missing_tls_is_reported(self, strict):
        with pytest.raises(ServerUnavailable, match=r"or one that wants TLS \(tls=...\)"):
            ask(strict.url)

    def test_server_without_tls_is_reported(self, plain, files):
        with pytest.raises(ServerUnavailable, match="speaks no TLS: leave tls out"):
            ask(plain.url, tls=files / "ca.pem")

    @pytest.mark.parametrize(
        "tls, words",
        [
            (lambda f: f / "nowhere.pem", "ca '.*nowhere.pem' cannot be read"),
            (lambda f: f, "cannot be read"),
            (lambda f: f / "empty.pem", "empty.pem' holds no certificates"),
            (lambda f: f / "caller.key", "holds no certificates"),
            (lambda f: Tls(cert=f / "caller.pem"), "both cert and key"),
            (lambda f: Tls(key=f / "caller.key"), "both cert and key"),
            (lambda f: Tls(None, f / "caller.pem", f / "stranger.key"), "are not a certificate"),
            (lambda f: Tls(None, f / "caller.key", f / "caller.key"), "are not a certificate"),
            (lambda f: 3, "tls must be True, False, the path"),
            (lambda f: None, "tls must be True, False, the path"),
        ],
    )
    def test_unusable_tls_file_is_named(self, files, tls, words):
        with pytest.raises(InvalidInput, match=words):
            AlignClient("localhost:1", tls=tls(files))

    def test_encrypted_key_is_refused_without_prompt(self, files, tmp_path):
        from cryptography.hazmat.primitives import serialization as s

        key = s.load_pem_private_key(CALLER.private_key_pem.bytes(), None)
        (tmp_path / "locked.key").write_bytes(
            key.private_bytes(
                s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"secret")
            )
        )
        with pytest.raises(InvalidInput, match="unencrypted key"):
            AlignClient("localhost:1", tls=Tls(None, files / "caller.pem", tmp_path / "locked.key"))


class TestToken:
    def test_right_token_is_accepted(self, plain):
        assert ask(plain.url, token="secret").shape == (1, 2)

    def test_token_is_in_every_request(self, plain):
        with AlignClient(plain.url, token="secret") as client:
            assert client.ready(deep=True) is True
            assert client.embed_text(["a"] * 3).shape == (3, 2)

    @pytest.mark.parametrize(
        "token, words",
        [(None, r"a bearer token is needed; give it .*token="), ("wrong", "is not accepted")],
    )
    def test_missing_or_wrong_token_is_unauthorized(self, plain, token, words):
        with pytest.raises(Unauthorized, match=words) as caught:
            ask(plain.url, token=token)
        assert "wrong" not in str(caught.value)
        with AlignClient(plain.url, token=token) as client:
            assert client.ready() is False

    @pytest.mark.parametrize("token", ["", "two words", "line\n", "ü", b"bytes", 7])
    def test_invalid_token_is_refused_and_not_shown(self, token):
        with pytest.raises(InvalidInput, match="token must be a str of printable") as caught:
            AlignClient("localhost:1", token=token)
        assert not token or str(token) not in str(caught.value)

    @pytest.mark.parametrize(
        "url",
        [
            "example.org:8001",
            "dns:///example.org:8001",
            "ipv4:127.0.0.1:1,10.0.0.1:1",
            "ipv6:[::ffff:10.0.0.1]:1",
            ["localhost:1", "10.0.0.1:8001"],
        ],
    )
    def test_token_is_not_sent_without_tls(self, url, files):
        with pytest.raises(InvalidInput, match="can read the token: pass tls="):
            AlignClient(url, token="secret")
        AlignClient(url, token="secret", insecure=True).close()
        AlignClient(url, token="secret", tls=files / "ca.pem").close()

    @pytest.mark.parametrize(
        "url",
        [
            *"localhost:1 LocalHost:1 127.0.0.1:1 127.1.2.3:1 [::1]:1 [::ffff:127.0.0.1]:1".split(),
            *"dns:localhost:1 dns:///localhost:1 dns:127.0.0.1:1 dns:///[::1]:1".split(),
            *"ipv4:127.0.0.1:1 ipv4:127.0.0.1:1,127.0.0.2:1 ipv6:[::1]:1".split(),
            *"unix:/run/grpc:1 unix:run/grpc unix:///run/grpc unix-abstract:grpc".split(),
        ],
    )
    def test_token_may_be_sent_to_this_machine(self, url):
        AlignClient(url, token="secret").close()

    @pytest.mark.parametrize(
        "url",
        [
            *"localhost.example:1 127.0.0.1.example:1 dns:///localhost.example:1".split(),
            *"127.0.0.999:1 dns://8.8.8.8/localhost:1".split(),
        ],
    )
    def test_lookalike_of_localhost_is_another_machine(self, url):
        with pytest.raises(InvalidInput, match="pass tls="):
            AlignClient(url, token="secret")

    @pytest.mark.parametrize(
        "form", ["localhost:{}", "dns:localhost:{}", "dns:///127.0.0.1:{}", "ipv4:127.0.0.1:{}"]
    )
    def test_proxy_is_not_used_for_this_machine(self, plain, form, monkeypatch):
        """A proxy from the environment cannot reach this machine's addresses."""
        for name in ("http_proxy", "grpc_proxy", "https_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
        port = plain.url.rpartition(":")[2]
        assert ask(form.format(port), token="secret").shape == (1, 2)
