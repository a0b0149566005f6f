"""The gateway's addresses, access rules and limits, and the check of these options."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from align_zoo.errors import AlignZooError
from align_zoo.serving.credentials import read_tokens
from align_zoo.serving.gateway.tls import Tls

__all__ = ["GatewayOptions"]


@dataclass(frozen=True)
class GatewayOptions:
    """The addresses, access rules and limits of a gateway.

    >>> GatewayOptions(grpc_port=9001, token_file=Path("tokens.txt")).check()
    """

    listen: str = "127.0.0.1"
    """The address of gRPC and HTTP: loopback; any other address needs TLS or ``insecure``."""
    grpc_port: int = 8001
    http_port: int = 8000
    metrics_listen: str = "127.0.0.1"
    """The address of /metrics and /healthz, which have neither TLS nor a token."""
    metrics_port: int = 8002
    tls_cert: Path | None = None
    """The server's certificate chain, PEM."""
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    """The authorities, PEM, that must have signed a caller's certificate: mutual TLS."""
    token_file: Path | None = None
    """The file of bearer tokens, one per line; a call must carry one of the tokens. The file has
    the old and the new token while a token is replaced.
    """
    insecure: bool = False
    """Whether callers from other machines need no TLS: only behind a proxy that encrypts."""
    queue_size: int = 1000
    """The most requests of a model that may wait."""
    queue_bytes: int = 512 * 2**20
    """The most bytes of all waiting requests of a model; also of all HTTP bodies being received."""
    queue_seconds: float = 20.0
    """The longest predicted wait of a request until its computation begins."""
    max_message_bytes: int = 64 * 2**20
    """The most bytes of a request."""
    silence_seconds: float = 60.0
    """The time after which a silent connection is probed; a connection that does not answer the
    probe is dropped after another third of this time.
    """

    def check(self) -> None:
        """Return if a gateway can open with these options.

        Raises:
            AlignZooError: the gateway would be open to other machines without encryption; the
                certificate, its key or the authorities are missing, unreadable or do not match;
                the token file has no token.
        """
        if bool(self.tls_cert) != bool(self.tls_key):
            given, missing = ("cert", "key") if self.tls_cert else ("key", "cert")
            raise AlignZooError(f"--tls-{given} needs --tls-{missing}, too")
        if self.tls_client_ca and not self.tls_cert:
            raise AlignZooError("--tls-client-ca needs --tls-cert and --tls-key, too")
        if not self.tls and not self.insecure and not _is_loopback(self.listen):
            raise AlignZooError(
                f"--listen {self.listen} opens the service to other machines: give --tls-cert and "
                "--tls-key, or --insecure if something in front of it encrypts"
            )
        if self.tls:
            self.tls.for_http()
        self.tokens()

    @property
    def tls(self) -> Tls | None:
        """The files of TLS; None without TLS."""
        if not self.tls_cert or not self.tls_key:
            return None
        return Tls(self.tls_cert, self.tls_key, self.tls_client_ca)

    @property
    def secrets(self) -> list[Path]:
        """The given files of TLS and of the tokens."""
        files = self.tls_cert, self.tls_key, self.tls_client_ca, self.token_file
        return [file for file in files if file]

    def tokens(self) -> list[str]:
        """Read the tokens from the token file; return an empty list without a file.

        Raises:
            AlignZooError: the file cannot be read, or has no valid token.
        """
        return read_tokens(self.token_file) if self.token_file else []


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
