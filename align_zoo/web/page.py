"""The page's files, with a policy that lets a browser ask nobody but this server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from aiohttp import ETag, web

from align_zoo.serving.tools.demo import SHOWN, emoji_folder

__all__ = ["page_routes"]

_ASSETS = Path(__file__).parents[1] / "assets"
_KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Permissions-Policy": "camera=(self), clipboard-write=(self), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # kept by a browser, and asked about by its ETag
}


class _File(NamedTuple):
    """A file of the page."""

    content: bytes
    kind: str
    etag: str

    async def handle(self, request: web.Request) -> web.Response:
        """Answer with the file, or with 304 if the caller has it."""
        known = request.if_none_match or ()
        if any(each.value in ("*", self.etag) for each in known):
            response = web.Response(status=304, headers=_HEADERS)
        else:
            charset = None if self.kind == "image/png" else "utf-8"
            response = web.Response(
                body=self.content, content_type=self.kind, charset=charset, headers=_HEADERS
            )
        response.etag = ETag(self.etag)
        return response


def page_routes(*, search: bool = False, model: str = "align_tiny") -> list[web.RouteDef]:
    """Return a route for each file of the page; no other file is ever read.

    Args:
        search: show the view that searches a collection.
        model: the served model's name; for align_emoji the examples are emoji.
    """
    return [web.get(path, _read(file, search, model).handle) for path, file in _files()]


def _files() -> Iterator[tuple[str, Path]]:
    yield "/", _ASSETS / "page" / "index.html"
    for folder, prefix in (("page", "/page/"), ("samples", "/page/samples/")):
        for file in sorted((_ASSETS / folder).iterdir()):
            if file.suffix in _KINDS and file.name != "index.html":
                yield prefix + file.name, file
    for name in SHOWN:
        yield f"/page/emoji/{name}.png", emoji_folder() / f"{name}.png"


def _read(file: Path, search: bool, model: str) -> _File:
    content = file.read_bytes()
    if search and file.name == "index.html":
        content = content.replace(b' data-view="search" hidden', b' data-view="search"')
    if model == "align_emoji" and file.name == "index.html":
        content = content.replace(b'data-examples="shapes"', b'data-examples="emoji"')
    return _File(content, _KINDS[file.suffix], hashlib.sha256(content).hexdigest()[:24])
