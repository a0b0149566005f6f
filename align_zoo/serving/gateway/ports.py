"""The sockets of the HTTP servers, and the error of a port that is taken."""

from __future__ import annotations

import ipaddress
import socket

from align_zoo.errors import AlignZooError
from align_zoo.serving.gateway.files import LimitedSocket

__all__ = ["address", "bound", "drop_the_dead", "taken"]

_ANY_IPV6 = ipaddress.ip_address("::")


def address(host: str) -> str:
    """Return the address to bind for ``--listen host``."""
    # One address: if a name has two, gRPC silently uses the one that is free.
    return "127.0.0.1" if host == "localhost" else host


def bound(host: str, port: int, name: str, most: int) -> LimitedSocket:
    """Return a socket that listens.

    Args:
        host: an address, or a host name.
        port: the port; 0 for any free port.
        name: the name in the port's flag, as in ``--http-port``.
        most: the most open files with which the socket accepts a connection.

    Raises:
        AlignZooError: the port is taken, or the address is not this machine's.
    """
    try:
        family, _, _, _, where = socket.getaddrinfo(
            address(host), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # As gRPC's wildcard socket, which accepts IPv4, too.
        both = ipaddress.ip_address(where[0]) == _ANY_IPV6 and socket.has_dualstack_ipv6()
        server = socket.create_server(where[:2], family=family, dualstack_ipv6=both)
    except OSError as error:
        raise taken(host, port, name) from error
    limited = LimitedSocket(fileno=server.detach())
    limited.most = most
    return limited


def drop_the_dead(listening: socket.socket, silence: float) -> None:
    """Let the kernel close connections whose peer is silent and does not answer keepalive probes.

    Args:
        listening: the socket; accepted connections inherit the options.
        silence: seconds until the kernel's first probe; four probes follow in a third of this time.
    """
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    settings = {
        socket.TCP_KEEPIDLE: max(1, round(silence)),
        socket.TCP_KEEPINTVL: max(1, round(silence / 12)),
        socket.TCP_KEEPCNT: 4,
        # For unacknowledged answers: the kernel sends no keepalive probes while data is unsent.
        socket.TCP_USER_TIMEOUT: round(1000 * silence * 4 / 3),
    }
    for option, value in settings.items():
        listening.setsockopt(socket.IPPROTO_TCP, option, value)


def taken(host: str, port: int, name: str) -> AlignZooError:
    """Return the error for an address and port that cannot be bound."""
    return AlignZooError(
        f"cannot listen on {host}:{port}: the port is taken, or the address is not this machine's; "
        f"end what listens there or choose another --{name}-port"
    )
