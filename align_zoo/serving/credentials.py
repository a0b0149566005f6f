"""The credentials of a caller: TLS files and a bearer token."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from align_zoo.errors import AlignZooError

__all__ = ["OPEN", "Access", "read_tokens"]


@dataclass(frozen=True)
class Access:
    """The credentials that a server demands of its callers.

    >>> access = Access(tls_ca=Path("ca.pem"), token_file=Path("token.txt"))
    >>> channel = access.channel("align.example.org:8001")
    """

    tls_ca: Path | None = None
    """The authorities, PEM, that the server's certificate is checked against. The call is encrypted
    if this file or ``tls_cert`` is given."""
    tls_cert: Path | None = None
    """The caller's own certificate, PEM, for mutual TLS."""
    tls_key: Path | None = None
    token_file: Path | None = None
    """The file whose first token is sent as the bearer token."""

    def channel(self, url: str) -> Any:
        """Open a gRPC channel to ``url``.

        Raises:
            AlignZooError: a file cannot be read, or a certificate has no key.
        """
        import grpc

        # A proxy of the environment is for other servers, not for the user's own.
        options = [("grpc.enable_http_proxy", 0)]
        if bool(self.tls_cert) != bool(self.tls_key):
            raise AlignZooError("--tls-cert and --tls-key go together")
        if not self.tls_ca and not self.tls_cert:
            return grpc.insecure_channel(url, options)
        files = [
            _read(file, flag)
            for file, flag in (
                (self.tls_ca, "--tls-ca"),
                (self.tls_key, "--tls-key"),
                (self.tls_cert, "--tls-cert"),
            )
        ]
        return grpc.secure_channel(url, grpc.ssl_channel_credentials(*files), options)

    def metadata(self) -> list[tuple[str, str]]:
        """Return the gRPC metadata of each call.

        Raises:
            AlignZooError: the token file cannot be read, or has no token.
        """
        if not self.token_file:
            return []
        return [("authorization", f"Bearer {read_tokens(self.token_file)[0]}")]


OPEN = Access()
"""The access to a server without TLS and tokens."""


def read_tokens(file: Path) -> list[str]:
    """Return the tokens of a file, one per line.

    Raises:
        AlignZooError: the file cannot be read, has no token, or has a token that no header can
            carry.
    """
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise AlignZooError(f"--token-file {file} cannot be read: {error.strerror}") from error
    tokens = [line.strip() for line in lines if line.strip()]
    if not tokens:
        raise AlignZooError(f"there is no token in --token-file {file}: write one, a line each")
    if not all(token.isascii() and token.isprintable() and " " not in token for token in tokens):
        raise AlignZooError(
            f"a token in --token-file {file} has blanks or letters other than ASCII; "
            "`openssl rand -hex 32` makes one"
        )
    return tokens


def _read(file: Path | None, flag: str) -> bytes | None:
    try:
        return file.read_bytes() if file else None
    except OSError as error:
        raise AlignZooError(f"{flag} {file} cannot be read: {error.strerror}") from error
