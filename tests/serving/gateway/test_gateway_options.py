"""What cannot be opened safely is refused in one line that says what to do."""

import stat

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from align_zoo import AlignZooError
from align_zoo.serving.gateway.options import GatewayOptions


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths by name: two certificates with their keys, the authority, and what is none of them."""
    folder = tmp_path_factory.mktemp("files")
    authority = trustme.CA()
    paths = {
        name: folder / name
        for name in ("cert", "key", "other_cert", "other_key", "ca", "nonsense", "empty", "locked")
    }
    for prefix in ("", "other_"):
        issued = authority.issue_cert("localhost")
        issued.cert_chain_pems[0].write_to_path(paths[f"{prefix}cert"])
        issued.private_key_pem.write_to_path(paths[f"{prefix}key"])
    authority.cert_pem.write_to_path(paths["ca"])
    paths["nonsense"].write_text("nonsense")
    paths["empty"].write_text("\n  \n")
    key = load_pem_private_key(paths["key"].read_bytes(), None)
    paths["locked"].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    return {**paths, "absent": folder / "absent"}


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_loopback_needs_no_encryption(listen):
    GatewayOptions(listen=listen).check()


@pytest.mark.parametrize("listen", ["0.0.0.0", "::", "192.168.1.2", "myhost", ""])
def test_remote_access_needs_tls_or_insecure(listen, files):
    with pytest.raises(AlignZooError, match="give --tls-cert and --tls-key, or --insecure"):
        GatewayOptions(listen=listen).check()
    GatewayOptions(listen=listen, insecure=True).check()
    GatewayOptions(listen=listen, tls_cert=files["cert"], tls_key=files["key"]).check()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tls_cert": "cert"}, "--tls-cert needs --tls-key"),
        ({"tls_key": "key"}, "--tls-key needs --tls-cert"),
        ({"tls_client_ca": "ca"}, "--tls-client-ca needs --tls-cert and --tls-key"),
        ({"tls_cert": "absent", "tls_key": "key"}, "--tls-cert .*absent cannot be read: No such"),
        ({"tls_cert": "cert", "tls_key": "absent"}, "--tls-key .*absent cannot be read: No such"),
        ({"tls_cert": "cert", "tls_key": "other_key"}, "key values mismatch"),
        ({"tls_cert": "nonsense", "tls_key": "key"}, "are not a certificate and its unencrypted"),
        ({"tls_cert": "cert", "tls_key": "nonsense"}, "are not a certificate and its unencrypted"),
        ({"tls_cert": "cert", "tls_key": "locked"}, "are not a certificate and its unencrypted"),
        (
            {"tls_cert": "cert", "tls_key": "key", "tls_client_ca": "absent"},
            "--tls-client-ca .*absent cannot be read",
        ),
        (
            {"tls_cert": "cert", "tls_key": "key", "tls_client_ca": "nonsense"},
            "--tls-client-ca .*nonsense has no certificate",
        ),
        ({"token_file": "absent"}, "--token-file .*absent cannot be read"),
        ({"token_file": "empty"}, "there is no token in --token-file .*empty"),
        ({"token_file": "key"}, "a token in --token-file .*key has blanks"),
    ],
    ids=str,
)
def test_unusable_files_are_named_in_one_line(files, given, words):
    options = GatewayOptions(**{name: files[file] for name, file in given.items()})
    with pytest.raises(AlignZooError, match=words) as caught:
        options.check()
    assert "\n" not in str(caught.value)


def test_good_files_are_accepted(files, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("one\n\n  two  \n")
    tokens.chmod(stat.S_IRUSR)
    GatewayOptions(
        tls_cert=files["cert"],
        tls_key=files["key"],
        tls_client_ca=files["ca"],
        token_file=tokens,
    ).check()
