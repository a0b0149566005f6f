"""What the gateway serves for people beside the models."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterable

from aiohttp import web

from align_zoo.errors import AlignZooError
from align_zoo.serving.gateway.gateway import Site
from align_zoo.serving.gateway.rest.handler import RestHandler
from align_zoo.serving.log import write
from align_zoo.web.page import page_routes

__all__ = ["site"]


def site(
    *,
    page: bool = True,
    model: str = "align_tiny",
    collection: str | None = None,
    open_browser: bool = False,
) -> Site | None:
    """Return what the gateway serves beside the models; None for nothing.

    >>> serve(options, gateway, site=site(collection="photos.collection"))

    Args:
        page: serve the page for people.
        model: the served model's name, for the page's examples.
        collection: the folder or address of a collection to search.
        open_browser: open the page in the user's browser once the models answer.

    Raises:
        AlignZooError: there is no such collection, or a package that searches it is missing.
    """
    if collection:
        _check(collection)

    def routes(rest: RestHandler) -> Iterable[web.RouteDef]:
        if collection:
            from align_zoo.web.search import CollectionSearch

            CollectionSearch(collection, rest).add()
        return page_routes(search=collection is not None, model=model) if page else ()

    def ready(address: str) -> None:
        if page:
            write(f"align-zoo: the page is at {address}")
        if open_browser:
            webbrowser.open(address)

    return Site(routes, ready) if page or collection else None


def _check(collection: str) -> None:
    from align_zoo.collection.place import exists

    if not exists(collection):
        raise AlignZooError(
            f"there is no collection at {collection}; "
            f"make one by `align-zoo index SOURCE {collection}`"
        )
