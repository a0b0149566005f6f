"""TLS credentials, and the bearer token in the headers."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import Dict, NamedTuple, Optional, Sequence, Union

import grpc

from align_client.addresses import Address
from align_client.errors import InvalidInput

__all__ = ["Tls", "credentials", "headers"]

_Path = Union[str, "os.PathLike[str]"]


class Tls(NamedTuple):
    """The PEM files of an encrypted connection.

    >>> client = AlignClient("align.example.org:8001", tls=Tls(ca="ca.pem"))
    """

    ca: Optional[_Path] = None
    """The authority of the server's certificate; None: the public authorities in gRPC."""
    cert: Optional[_Path] = None
    """The certificate of this client, if the server requires one."""
    key: Optional[_Path] = None
    """The private key of ``cert``, not encrypted."""


def credentials(tls: Union[bool, _Path, Tls]) -> Optional[grpc.ChannelCredentials]:
    """Read the files that ``tls`` names; return None for a connection without TLS.

    Raises:
        InvalidInput: a file cannot be used, or ``tls`` is of another type.
    """
    if tls is False:
        return None
    if tls is True:
        tls = Tls()
    elif isinstance(tls, (str, os.PathLike)):
        tls = Tls(ca=tls)
    elif not isinstance(tls, Tls):
        raise InvalidInput(f"tls must be True, False, the path of a CA file, or Tls; got {tls!r}")
    if (tls.cert is None) != (tls.key is None):
        raise InvalidInput("Tls needs both cert and key, or neither")
    ca, cert, key = (_read(tls.ca, "ca"), _read(tls.cert, "cert"), _read(tls.key, "key"))
    _check(tls)
    return grpc.ssl_channel_credentials(ca, key, cert)


def headers(token: Optional[str], to: Sequence[Address], *, safe: bool) -> Dict[str, str]:
    """Return the headers of every request.

    Args:
        token: the bearer token; None to send no token.
        to: the addresses of the servers.
        safe: whether the token may be sent to another machine, because the connection uses TLS
            or the caller allows it.

    Raises:
        InvalidInput: the token cannot be a header, or others on the network could read it.
    """
    if token is None:
        return {}
    # The messages do not show the token: it is a secret.
    if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token):
        raise InvalidInput("token must be a str of printable ASCII characters without spaces")
    open_to = [address.url for address in to if not address.own]
    if open_to and not safe:
        raise InvalidInput(
            f"without TLS everybody on the way to {open_to[0]} can read the token: pass tls=..., "
            "or insecure=True if the network is trusted"
        )
    return {"authorization": f"Bearer {token}"}


def _read(path: Optional[_Path], name: str) -> Optional[bytes]:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput(f"tls: {name} {str(path)!r} cannot be read: {error}") from error


def _check(tls: Tls) -> None:
    """Raise InvalidInput for files that gRPC would refuse only at the first call, and unclearly."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if tls.ca is not None:
            context.load_verify_locations(tls.ca)
    except ssl.SSLError as error:
        raise InvalidInput(f"tls: ca {str(tls.ca)!r} holds no certificates: {error}") from error
    try:
        if tls.cert is not None:
            # With a password an encrypted key fails; without, OpenSSL would ask on the terminal.
            context.load_cert_chain(tls.cert, tls.key, password="")
    except ssl.SSLError as error:
        raise InvalidInput(
            f"tls: cert {str(tls.cert)!r} and key {str(tls.key)!r} are not a certificate and its "
            f"own, unencrypted key: {error}"
        ) from error
