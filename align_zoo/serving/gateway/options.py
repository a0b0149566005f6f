"""Where the gateway listens, whom it lets in and how much it takes; what cannot be is refused."""

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
    """How the service meets its callers."""

    listen: str = "127.0.0.1"
    """Address of gRPC and HTTP: loopback, or any other with TLS or ``insecure``."""
    grpc_port: int = 8001
    http_port: int = 8000
    metrics_listen: str = "127.0.0.1"
    """Address of /metrics and /healthz, which are without TLS and token."""
    metrics_port: int = 8002
    tls_cert: Path | None = None
    """The server's certificate chain, PEM."""
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    """PEM of the authorities of which a caller must show a certificate: mutual TLS."""
    token_file: Path | None = None
    """Bearer tokens, one a line; a call must carry one of them. While a token is being replaced,
    the old and the new one.
    """
    insecure: bool = False
    """Callers from other machines without TLS: only behind something that encrypts."""
    queue_size: int = 1000
    """Requests of a model that may wait."""
    queue_bytes: int = 512 * 2**20
    """Of all the requests of a model that wait together; and of all HTTP bodies that are coming."""
    queue_seconds: float = 20.0
    """How long one may have to wait, as far as can be foreseen, until its computing begins."""
    max_message_bytes: int = 64 * 2**20
    """Of one request."""
    silence_seconds: float = 60.0
    """After so long a connection that says nothing is asked whether there is still anybody; if
    nobody answers, it is dropped a third of that later.
    """

    def check(self) -> None:
        """Return if the service can be opened like this.

        Raises:
            AlignZooError: it is open to other machines without encryption; the certificate, its
                key or the authorities are missing, unreadable or do not fit; there is no token
                in the token file.
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
        """The files of TLS; None without."""
        if not self.tls_cert or not self.tls_key:
            return None
        return Tls(self.tls_cert, self.tls_key, self.tls_client_ca)

    @property
    def secrets(self) -> list[Path]:
        """The files of TLS and of the tokens, as far as there are."""
        files = self.tls_cert, self.tls_key, self.tls_client_ca, self.token_file
        return [file for file in files if file]

    def tokens(self) -> list[str]:
        """The tokens of the file, as they are now; none without a file.

        Raises:
            AlignZooError: there is none in it that can be read.
        """
        return read_tokens(self.token_file) if self.token_file else []


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
