"""The command ``web``: the page for people, on this machine alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from align_zoo.cli.options import SearchedCollection, needs_collection
from align_zoo.cli.shared import TOKEN_FILE, ServedModel, needs, one_line_errors
from align_zoo.errors import InvalidInput

__all__ = ["web"]


@one_line_errors()
def web(
    model: ServedModel = "align_emoji",
    server: Annotated[
        Optional[str],
        typer.Option(
            metavar="URL", help="Ask the service at this HTTP address, and start none here."
        ),
    ] = None,
    collection: SearchedCollection = None,
    token_file: Annotated[
        Optional[Path],
        typer.Option(
            envvar=TOKEN_FILE,
            metavar="FILE",
            help="File whose first line is the bearer token for --server.",
        ),
    ] = None,
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
        from align_zoo.serving.credentials import read_tokens
        from align_zoo.serving.gateway.options import GatewayOptions
        from align_zoo.serving.serve import serve
        from align_zoo.serving.triton.command import ServeOptions
        from align_zoo.web.relay import serve_page_of
        from align_zoo.web.site import site
    if server:
        if collection:
            raise InvalidInput(
                "--server and --collection exclude each other: start the service with --collection"
            )
        token = read_tokens(token_file)[0] if token_file else None
        serve_page_of(server, token=token, port=port, open_browser=open_browser)
        return
    gateway = GatewayOptions(grpc_port=0, http_port=port, metrics_port=0)
    with needs_collection():
        page = site(model=model, collection=collection, open_browser=open_browser)
    raise typer.Exit(serve(ServeOptions(model=model), gateway, site=page))
