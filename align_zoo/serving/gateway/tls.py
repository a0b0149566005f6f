"""The certificate that the service shows, and the ones that it asks for."""

from __future__ import annotations

import ssl
from asyncio import sslproto
from dataclasses import dataclass
from pathlib import Path

import grpc

from align_zoo.errors import AlignZooError

__all__ = ["Tls"]

_BUFFER = 2**16
"""Bytes that asyncio sets aside for each connection before one has come; by itself 256 KB."""


@dataclass(frozen=True)
class Tls:
    """Files in PEM.

    Both methods raise AlignZooError if one cannot be read or is not what it should be.
    """

    cert: Path
    """The chain, the server's own certificate first."""
    key: Path
    client_ca: Path | None
    """The authorities of which a caller must show a certificate; None: it needs none."""

    def for_http(self) -> ssl.SSLContext:
        """What asyncio's servers need; its connections take less memory from then on."""
        sslproto.SSLProtocol.max_size = _BUFFER  # there is no option for it
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        _read(self.cert, "--tls-cert")
        _read(self.key, "--tls-key")
        try:
            # With no password given, OpenSSL would ask the terminal for an encrypted key's.
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
        """What gRPC's servers need, for the connections from now on."""
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
