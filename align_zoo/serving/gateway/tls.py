"""The service's certificate, and the authorities of callers' certificates."""

from __future__ import annotations

import ssl
from asyncio import sslproto
from dataclasses import dataclass
from pathlib import Path

import grpc

from align_zoo.errors import AlignZooError

__all__ = ["Tls"]

_BUFFER = 2**16
"""The buffer of a connection in bytes; asyncio's own default is 256 KB."""


@dataclass(frozen=True)
class Tls:
    """The files of TLS, in PEM.

    >>> context = Tls(Path("server.pem"), Path("server.key"), client_ca=None).for_http()

    Both methods raise AlignZooError if a file cannot be read or has another content.
    """

    cert: Path
    """The chain of certificates, the server's own certificate first."""
    key: Path
    """The private key of ``cert``, not encrypted."""
    client_ca: Path | None
    """The authorities of callers' certificates; None if callers need no certificate."""

    def for_http(self) -> ssl.SSLContext:
        """Make the context of asyncio's servers, and reduce the memory of TLS connections."""
        sslproto.SSLProtocol.max_size = _BUFFER  # asyncio has no option for the size
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        _read(self.cert, "--tls-cert")
        _read(self.key, "--tls-key")
        try:
            # Without a password, OpenSSL would ask for the password of an encrypted key.
            context.load_cert_chain(self.cert, self.key, password=lambda: "")
        except (ssl.SSLError, ValueError) as error:
            raise AlignZooError(
                f"--tls-cert {self.cert} and --tls-key {self.key} are not a certificate and its "
                f"unencrypted key, both in PEM ({_words(error)})"
            ) from error
        if self.client_ca:
            _read(self.client_ca, "--tls-client-ca")
            try:
                context.load_verify_locations(self.client_ca)
            except ssl.SSLError as error:
                raise AlignZooError(
                    f"--tls-client-ca {self.client_ca} has no certificate in PEM ({_words(error)})"
                ) from error
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def for_grpc(self) -> grpc.ServerCertificateConfiguration:
        """Make the configuration of gRPC's servers, for new connections."""
        return grpc.ssl_server_certificate_configuration(
            [(_read(self.key, "--tls-key"), _read(self.cert, "--tls-cert"))],
            root_certificates=_read(self.client_ca, "--tls-client-ca") if self.client_ca else None,
        )


def _read(file: Path, flag: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise AlignZooError(f"{flag} {file} cannot be read: {error.strerror}") from error


def _words(error: Exception) -> str:
    return (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()
