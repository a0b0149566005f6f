"""The search in a collection over HTTP: for the page, and for programs."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import numpy as np
from aiohttp import web

from align_zoo.collection.query import Term, read_query
from align_zoo.errors import AlignZooError, InvalidImage, InvalidInput, InvalidText
from align_zoo.serving.gateway.refusal import Reason, Refusal
from align_zoo.serving.gateway.rest.body import Fields, malformed
from align_zoo.serving.gateway.rest.handler import Further, RestHandler
from align_zoo.serving.gateway.rest.inference import Outcome, Row
from align_zoo.serving.gateway.rest.items import Item, content
from align_zoo.web import openapi
from align_zoo.web.same_site import check_site

if TYPE_CHECKING:
    from align_zoo.collection.collection import Collection
    from align_zoo.collection.embedder import Answer
    from align_zoo.collection.hits import Hit

__all__ = ["CollectionSearch"]

_FIELDS = ("query", "images", "k", "where", "fold_duplicates", "all")
_MOST_HITS = 500
_SIDE = 400
"""The longest side of a thumbnail, in pixels."""
_AT_ONCE = 2
"""Thumbnails that are made at once: a large image takes memory while it is decoded."""
_THUMBNAIL = {
    "Cache-Control": "private, max-age=600",
    "Content-Security-Policy": "default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_T = TypeVar("_T")


class CollectionSearch:
    """Answers ``/v1/collection``, its thumbnails, and ``/v1/search``.

    >>> CollectionSearch("photos.collection", rest).add()

    Queries are embedded by the service. The collection is opened by the first call.

    Args:
        where: the collection's folder or address.
        rest: checks tokens and limits, and embeds.
    """

    def __init__(self, where: str, rest: RestHandler) -> None:
        self._where, self._rest = where, rest
        self._kept: Collection | None = None
        self._opening = asyncio.Lock()
        self._decoding = asyncio.Semaphore(_AT_ONCE)

    def add(self) -> None:
        """Add the calls to the handler."""
        self._rest.add("/v1/search", Further("POST", self._search, openapi.SEARCH))
        self._rest.add("/v1/collection", Further("GET", self._about, openapi.COLLECTION))
        self._rest.add(
            "/v1/collection/thumbnail", Further("GET", self._thumbnail, openapi.THUMBNAIL)
        )

    async def _about(self, request: web.Request) -> dict[str, Any]:
        def describe(kept: Collection) -> dict[str, Any]:
            return {
                "object": "collection",
                "name": Path(urlsplit(self._where).path).name,
                "images": kept.count(),
                "columns": kept.columns(),
            }

        return await self._with_collection(request, describe)

    async def _search(self, request: web.Request) -> dict[str, Any]:
        found = await self._rest.read(request)

        def search(kept: Collection) -> dict[str, Any]:
            fields = Fields(found, _FIELDS)
            terms = _terms(fields, kept)
            k = fields.whole("k")
            k = 20 if k is None else k
            if not 1 <= k <= _MOST_HITS:
                raise malformed(f"k must be 1 to {_MOST_HITS}", "k")
            where = fields.string("where") or None
            everything = fields.choice("all", (True, False), False)
            folded = fields.choice("fold_duplicates", (True, False), False)
            hits = kept.search(terms, k=k, where=where, fold_duplicates=folded, all=everything)
            nearest = [] if hits or everything else kept.search(terms, k=1, where=where, all=True)
            return {
                "object": "list",
                "data": [_shown(hit, i) for i, hit in enumerate(hits)],
                "nearest": _shown(nearest[0], 0) if nearest else None,
            }

        return await self._with_collection(request, search)

    async def _thumbnail(self, request: web.Request) -> web.Response:
        path = request.query.get("path", "")

        def draw(kept: Collection) -> bytes:
            from align_zoo.collection.sources import read_bytes
            from align_zoo.inputs.decode import decode_image

            hit, _ = kept.get(path)  # of the collection alone: no other file is read
            image = decode_image(read_bytes(hit.input))
            image.thumbnail((_SIDE, _SIDE))
            file = io.BytesIO()
            image.save(file, "JPEG", quality=85)
            return file.getvalue()

        async with self._decoding:
            body = await self._with_collection(request, draw)
        return web.Response(body=body, content_type="image/jpeg", headers=_THUMBNAIL)

    async def _with_collection(self, request: web.Request, work: Callable[[Collection], _T]) -> _T:
        """Run ``work`` with the collection, in a thread."""
        check_site(request, secured=self._rest.wants_token)
        try:
            return await asyncio.to_thread(work, await self._opened())
        except (InvalidInput, InvalidText) as error:
            raise malformed(str(error)) from None
        except AlignZooError as error:
            self._kept = None  # it may have been rebuilt, or the service have another checkpoint
            raise Refusal(Reason.INTERNAL, str(error)) from None

    async def _opened(self) -> Collection:
        async with self._opening:
            if self._kept is None:
                (row,) = await self._rest.embed("align_text", [b"a"])
                if not isinstance(row, Row):
                    raise _error(row)
                embedder = _ServedEmbedder(self._rest.embed, row)
                self._kept = await asyncio.to_thread(_open, self._where, embedder)
            return self._kept


def _open(where: str, embedder: _ServedEmbedder) -> Collection:
    from align_zoo.collection.collection import Collection  # here: it imports lancedb

    return Collection.open(where, model=embedder)


class _ServedEmbedder:
    """Embeds by the service, from any thread but that of the event loop.

    Args:
        embed: embeds the items of a model.
        row: an answer of the service, to know its checkpoint.
    """

    model = ""

    def __init__(
        self,
        embed: Callable[[str, Sequence[bytes]], Coroutine[Any, Any, list[Outcome]]],
        row: Row,
    ) -> None:
        self._embed = embed
        self._loop = asyncio.get_running_loop()
        self.fingerprint = row.checkpoint
        self.temperature = row.temperature

    def images(self, files: Sequence[bytes]) -> list[Answer]:
        """Embed encoded images; an image that cannot be used has an error in its place."""
        return [
            row if isinstance(row, np.ndarray) else InvalidImage(str(row), row.reason)
            for row in self._rows("align_image", files)
        ]

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts: unit rows [N, D] float32."""
        rows = self._rows("align_text", [text.encode() for text in texts])
        for text, row in zip(texts, rows, strict=True):
            if isinstance(row, InvalidInput):
                raise InvalidText(f"{text!r}: {row}")
        return np.stack([row for row in rows if isinstance(row, np.ndarray)])

    def elsewhere(self) -> NoReturn:
        """Refuse: nothing is added to a collection here."""
        raise AlignZooError("the service embeds in its own process only")

    def _rows(self, model: str, items: Sequence[bytes]) -> list[np.ndarray | InvalidInput]:
        work = self._embed(model, items)
        outcomes = asyncio.run_coroutine_threadsafe(work, self._loop).result()
        rows: list[np.ndarray | InvalidInput] = []
        for outcome in outcomes:
            if isinstance(outcome, Row) and outcome.checkpoint != self.fingerprint:
                raise AlignZooError("the service has another checkpoint now: search again")
            rows.append(outcome.vector if isinstance(outcome, Row) else _error(outcome))
        return rows


def _error(outcome: Outcome) -> InvalidInput:
    assert isinstance(outcome, InvalidInput), "every item is answered"
    return outcome


def _terms(fields: Fields, kept: Collection) -> list[Term]:
    """Read the terms of a search: words, given images, and images of the collection."""
    words = (fields.string("query") or "").strip()
    # A word is never a path here: no caller may have a file of this machine read.
    terms = [term._replace(content=term.text) for term in read_query(words)] if words else []
    images = fields.items("images") if fields.value("images") else []
    for i, each in enumerate(images):
        place = f"images[{i}]"
        image = Fields(each, ("image", "path", "weight"), place)
        weight = image.value("weight")
        weight = 1.0 if weight is None else weight
        if type(weight) not in (int, float):
            raise malformed(f"{place}.weight must be a number", f"{place}.weight")
        name = image.given(("image", "path"))
        value = image.string(name) or ""
        if name == "path":
            terms.append(Term(value, weight, kept.get(value)[1]))
        else:
            terms.append(Term(place, weight, content(Item("image", value, place))))
    if not any(term.weight > 0 for term in terms):
        raise malformed("a search needs at least one term that is wanted", "query")
    return terms


def _shown(hit: Hit, index: int) -> dict[str, Any]:
    path = hit.path.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return {
        "object": "hit",
        "index": index,
        "path": path,
        "score": float(hit.score),
        "columns": hit.columns,
    }
