"""The command ``web``: the page for people, on this machine alone."""

from __future__ import annotations

from typing import Annotated

import typer

from align_zoo.cli.options import SearchedCollection, needs_collection
from align_zoo.cli.shared import ServedModel, needs, one_line_errors

__all__ = ["web"]


@one_line_errors()
def web(
    model: ServedModel = "align_tiny",
    collection: SearchedCollection = None,
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, metavar="PORT", help="Port of the page. The default is a free port."
        ),
    ] = 0,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.")
    ] = False,
) -> None:
    """Show a page to classify, compare and search images, on this machine alone.

    Ctrl-C ends it.
    """
    with needs("the page"):
        from align_zoo.serving.gateway.options import GatewayOptions
        from align_zoo.serving.serve import serve
        from align_zoo.serving.triton.command import ServeOptions
        from align_zoo.web.site import site
    gateway = GatewayOptions(grpc_port=0, http_port=port, metrics_port=0)
    with needs_collection():
        page = site(collection=collection, open_browser=open_browser)
    raise typer.Exit(serve(ServeOptions(model=model), gateway, site=page))
