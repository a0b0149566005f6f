"""Whether a call is the page's own, and not that of another site's page in the user's browser."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web

from align_zoo.serving.gateway.refusal import Reason, Refusal

__all__ = ["check_site"]


def check_site(request: web.Request, *, secured: bool) -> None:
    """Return if no other site's page asks.

    A user's browser reaches loopback for any page that it shows. Such a page cannot read an answer,
    unless its own name leads to loopback.

    Args:
        request: the call.
        secured: whether the call has shown a token, which another page does not have.

    Raises:
        Refusal: CLOSED.
    """
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        raise Refusal(Reason.CLOSED, "another site's page may not ask this")
    if secured or request.transport is None:
        return
    here = request.transport.get_extra_info("sockname")[0]
    host = urlsplit(f"//{request.host}").hostname or ""
    if _is_loopback(here) and not _is_loopback(host):
        raise Refusal(
            Reason.CLOSED,
            "this is open to this machine alone, and the address names another: "
            "use http://localhost, or give the service a --token-file",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
