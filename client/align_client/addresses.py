"""Where the servers are, as callers write it."""

from __future__ import annotations

import re
from typing import List, NamedTuple, Sequence, Union

from align_client.errors import InvalidInput

__all__ = ["Address", "addresses"]

_OWN = r"(dns:///)?(localhost|127(\.\d{1,3}){3}|\[::1\]):\d+|unix:.*"

# gRPC takes anything: "h:8001/" and " h:8001" are names to look up, "h:" is port 443, and "h:99999"
# port 34463.
_HOST = r"(dns:(///)?)?(\[[^\]\s]+\]|[^\s:/\[\]]+):(?P<port>[0-9]{1,5})"
_OTHER = r"(dns://[^/]|ipv4:|ipv6:|unix:|unix-abstract:|vsock:|xds:).+"


class Address(NamedTuple):
    """One gRPC target."""

    url: str
    several: bool
    """Whether the name can stand for several servers, among which gRPC itself takes turns."""
    own: bool
    """Whether it is on this very machine."""


def addresses(url: Union[str, Sequence[str]]) -> List[Address]:
    """The addresses that ``url`` names.

    Raises:
        InvalidInput: one is not host:port, or there is none.
    """
    urls = [url] if isinstance(url, str) else url
    if not isinstance(urls, (list, tuple)) or not urls:
        raise _no_address(url)
    return [_address(each) for each in urls]


def _address(url: str) -> Address:
    if not isinstance(url, str) or re.search(r"[\ud800-\udfff]", url):  # half a character
        raise _no_address(url)
    host = re.fullmatch(_HOST, url)
    if not (int(host["port"]) < 65_536 if host else re.fullmatch(_OTHER, url)):
        raise _no_address(url)
    return Address(
        url,
        several=re.match(r"(dns|ipv4|ipv6):", url) is not None,
        own=re.fullmatch(_OWN, url) is not None,
    )


def _no_address(url: object) -> InvalidInput:
    return InvalidInput(
        "url must be host:port, such as 'localhost:8001', 'dns:///host:port', or a list of such; "
        f"got {url!r}"
    )
