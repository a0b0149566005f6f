"""What the gateway serves for people beside the models."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterable

from aiohttp import web

from align_zoo.serving.gateway.gateway import Site
from align_zoo.serving.gateway.rest.handler import RestHandler
from align_zoo.serving.log import write
from align_zoo.web.page import page_routes

__all__ = ["page_site"]


def page_site(*, open_browser: bool = False) -> Site:
    """Return the page as a part of the gateway.

    >>> serve(options, gateway, site=page_site())

    Args:
        open_browser: open the page in the user's browser once the models answer.
    """

    def routes(rest: RestHandler) -> Iterable[web.RouteDef]:
        return page_routes()

    def ready(address: str) -> None:
        write(f"align-zoo: the page is at {address}")
        if open_browser:
            webbrowser.open(address)

    return Site(routes, ready)
