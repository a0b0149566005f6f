"""Ports to listen on, and one that cannot be."""

from __future__ import annotations

import ipaddress
import socket

from align_zoo.errors import AlignZooError
from align_zoo.serving.gateway.files import LimitedSocket

__all__ = ["address", "bound", "drop_the_dead", "taken"]

_ANY_IPV6 = ipaddress.ip_address("::")


def address(host: str) -> str:
    """What to bind for ``--listen host``."""
    # One address: of a name's two, gRPC is content with the one that is not taken.
    return "127.0.0.1" if host == "localhost" else host


def bound(host: str, port: int, name: str, most: int) -> LimitedSocket:
    """A socket that listens.

    Args:
        host: an address, or a name that has one.
        port: 0: any that is free.
        name: of the port's flag.
        most: files that may be open when it accepts.

    Raises:
        AlignZooError: it cannot.
    """
    try:
        family, _, _, _, where = socket.getaddrinfo(
            address(host), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # gRPC's takes IPv4, too.
        both = ipaddress.ip_address(where[0]) == _ANY_IPV6 and socket.has_dualstack_ipv6()
        server = socket.create_server(where[:2], family=family, dualstack_ipv6=both)
    except OSError as error:
        raise taken(host, port, name) from error
    limited = LimitedSocket(fileno=server.detach())
    limited.most = most
    return limited


def drop_the_dead(listening: socket.socket, silence: float) -> None:
    """Let the kernel close connections whose other side is silent and then does not answer it.

    Args:
        listening: what it accepts inherits this.
        silence: seconds until the kernel asks; it asks four times in a third of that.
    """
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    settings = {
        socket.TCP_KEEPIDLE: max(1, round(silence)),
        socket.TCP_KEEPINTVL: max(1, round(silence / 12)),
        socket.TCP_KEEPCNT: 4,
        # An answer that nobody takes: the kernel asks after nothing while it waits for that.
        socket.TCP_USER_TIMEOUT: round(1000 * silence * 4 / 3),
    }
    for option, value in settings.items():
        listening.setsockopt(socket.IPPROTO_TCP, option, value)


def taken(host: str, port: int, name: str) -> AlignZooError:
    """What to say of a port that cannot be listened on."""
    return AlignZooError(
        f"cannot listen on {host}:{port}: the port is taken, or the address is not this machine's; "
        f"end what listens there or choose another --{name}-port"
    )
