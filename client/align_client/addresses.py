"""Reads and checks the addresses of the servers."""

from __future__ import annotations

import ipaddress
import re
from typing import List, NamedTuple, Optional, Sequence, Union

from align_client.errors import InvalidInput

__all__ = ["Address", "addresses"]

# gRPC accepts any text: it looks up "h:8001/" and " h:8001" as names, reads "h:" as port 443 and
# "h:99999" as port 34463, and fails on "ipv4:localhost:1" only at the first call.
_HOST_AND_PORT = re.compile(r"(\[[^\]\s]+\]|[^\s:/\[\]]+):([0-9]{1,5})")
_LOCAL = re.compile(r"unix:(?!//[^/]).+|unix-abstract:.+")
_LOOKED_UP = re.compile(r"dns://[^/\s]+/(.+)|dns:(?:///)?(?!/)(.+)")
_OTHER = re.compile(r"(vsock|xds):.+")


class Address(NamedTuple):
    """One gRPC target."""

    url: str
    """The address as the caller wrote it."""
    several: bool
    """Whether the name can stand for several servers, which gRPC then asks in turn."""
    own: bool
    """Whether the address is on this machine."""


def addresses(url: Union[str, Sequence[str]]) -> List[Address]:
    """Return the addresses that ``url`` names.

    Raises:
        InvalidInput: an address is not host:port, or there is no address.
    """
    urls = [url] if isinstance(url, str) else url
    if not isinstance(urls, (list, tuple)) or not urls:
        raise _no_address(url)
    return [_address(each) for each in urls]


def _address(url: str) -> Address:
    if not isinstance(url, str) or re.search(r"[\ud800-\udfff]", url):  # a lone surrogate
        raise _no_address(url)
    if _LOCAL.fullmatch(url):
        return Address(url, several=False, own=True)
    if _OTHER.fullmatch(url):
        return Address(url, several=False, own=False)
    scheme, _, rest = url.partition(":")
    if scheme in ("ipv4", "ipv6"):
        ips = [_ip(host) for host in _hosts(url, rest.split(","))]
        if not all(ip is not None and f"ipv{ip.version}" == scheme for ip in ips):
            raise _no_address(url)
        return Address(url, several=True, own=all(_is_own(ip) for ip in ips))
    looked_up = _LOOKED_UP.fullmatch(url)
    (host,) = _hosts(url, [looked_up[1] or looked_up[2] if looked_up else url])
    # A name server named in the URL may call any machine localhost.
    asked_here = looked_up is None or looked_up[1] is None
    own = asked_here and (host.lower() == "localhost" or _is_own(_ip(host)))
    return Address(url, several=looked_up is not None, own=own)


def _hosts(url: str, places: Sequence[str]) -> List[str]:
    """Return the host of each "host:port"."""
    found = [_HOST_AND_PORT.fullmatch(place) for place in places]
    if not all(match and 0 < int(match[2]) < 65_536 for match in found):
        raise _no_address(url)
    return [match[1] for match in found if match]


_Ip = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


def _ip(host: str) -> Optional[_Ip]:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:  # a name
        return None


def _is_own(ip: Optional[_Ip]) -> bool:
    """Return whether an address is a loopback address, also an IPv4 address written as IPv6."""
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip is not None and ip.is_loopback


def _no_address(url: object) -> InvalidInput:
    return InvalidInput(
        "url must be host:port, such as 'localhost:8001', 'dns:///host:port', or a list of these, "
        f"with a port from 1 to 65535; got {url!r}"
    )
