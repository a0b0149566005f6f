"""Tools of the Model Context Protocol for assistants: classify, compare and search.

The protocol is that of the official package, ``mcp``. Images are read within the folders that were
named at the start, and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from align_zoo import __version__
from align_zoo.collection.classify import Labels
from align_zoo.collection.collection import Collection
from align_zoo.collection.embedder import Answer, Embedder
from align_zoo.collection.query import Term, read_query
from align_zoo.collection.shards import embed_parts
from align_zoo.collection.sources import Input
from align_zoo.errors import AlignZooError, InvalidImage, InvalidInput
from align_zoo.runtime.predictions import check_top_k, ranked

__all__ = ["Assistant", "Folders", "mcp_server"]

_MOST_IMAGES = 1_000
"""The most images of a call."""


class Folders:
    """The folders within which images may be read.

    >>> Folders(["photos"]).find("red-star.png")
    PosixPath('/.../photos/red-star.png')

    Args:
        folders: at least one.

    Raises:
        InvalidInput: there is no folder, or one of them is no folder.
    """

    def __init__(self, folders: Sequence[str | os.PathLike[str]]) -> None:
        if not folders:
            raise InvalidInput("name at least one folder by --folder, within which images are read")
        self._roots = [Path(folder).expanduser().resolve() for folder in folders]
        for root in self._roots:
            if not root.is_dir():
                raise InvalidInput(f"{root} is no folder; name one by --folder")

    def find(self, name: str) -> Path:
        """Return the real path of an image: an absolute path, or a path from one of the folders.

        Links and ``..`` are followed first, so none of them leads out of the folders.

        Raises:
            InvalidImage: the path leads out of the folders, or there is no such file.
        """
        try:
            places = [(root / name).resolve() for root in self._roots]
        except (OSError, ValueError, RuntimeError) as error:  # a NUL, or a circle of links
            raise InvalidImage(f"{name!r} is no path: {error}", "unreadable") from None
        inside = [p for p in places if any(p.is_relative_to(root) for root in self._roots)]
        if not inside:
            roots = ", ".join(map(str, self._roots))
            raise InvalidImage(
                f"{name!r} is outside of the folders that this server may read ({roots}); start "
                "`align-zoo mcp` with a further --folder",
                "unreadable",
            )
        for path in inside:
            if path.is_file():
                return path
        raise InvalidImage(f"{name!r} does not exist, or is no file", "unreadable")


class Assistant:
    """Answers questions about images by their paths.

    >>> assistant = Assistant(EncoderEmbedder("align_tiny"), Folders(["photos"]))
    >>> answer, = assistant.classify(["red-star.png"], ["a star", "a ring"])["images"]
    >>> answer["labels"][0]["label"]
    'a star'

    Args:
        embedder: what embeds images and texts.
        folders: where images may be read.
        collection: what is searched, if anything.
    """

    def __init__(
        self, embedder: Embedder, folders: Folders, collection: Collection | None = None
    ) -> None:
        self._embedder, self._folders, self._collection = embedder, folders, collection

    @property
    def searches(self) -> bool:
        """Whether there is a collection to search."""
        return self._collection is not None

    def classify(
        self,
        images: Annotated[list[str], Field(description="Paths of images.")],
        labels: Annotated[
            list[str], Field(description="What the images may show, one label a string.")
        ],
        template: Annotated[
            str, Field(description="Prompt template; {} is replaced by the label.")
        ] = "{}",
        top_k: Annotated[int, Field(description="Labels an image, best first.")] = 3,
    ) -> dict[str, Any]:
        """Choose the labels that fit each image best; the scores of all labels add up to 1."""
        most = check_top_k(top_k)
        read = Labels.read(labels, self._embedder, templates=[template])
        return {
            "images": [
                {"image": name, "error": str(answer)}
                if isinstance(answer, InvalidImage)
                else {
                    "image": name,
                    "labels": [
                        {"label": label, "score": score}
                        for label, score in ranked(
                            read.names, answer, read.rows, self._embedder.temperature, most
                        )
                    ],
                }
                for name, answer in self._embed(images)
            ]
        }

    def compare(
        self,
        images: Annotated[list[str], Field(description="Paths of images.")],
        texts: Annotated[list[str], Field(description="Texts that describe images.")],
    ) -> dict[str, Any]:
        """Compute the cosine of each image and each text, in the texts' order: higher is nearer."""
        if not texts:
            raise InvalidInput("there are no texts; give at least one")
        rows = self._embedder.texts(texts).astype(np.float64)
        return {
            "texts": texts,
            "images": [
                {"image": name, "error": str(answer)}
                if isinstance(answer, InvalidImage)
                else {"image": name, "cosines": (rows @ answer).tolist()}
                for name, answer in self._embed(images)
            ],
        }

    def search(
        self,
        query: Annotated[
            str, Field(description='Words, with sums and differences: "beach + sunset - people".')
        ] = "",
        images: Annotated[
            list[str] | None, Field(description="Paths of images that are alike.")
        ] = None,
        number: Annotated[int, Field(description="The most images to find.")] = 10,
        where: Annotated[
            str | None, Field(description='An SQL condition on columns: "width > 1000".')
        ] = None,
        all: Annotated[
            bool, Field(description="Return the nearest images, whether they match or not.")
        ] = False,
    ) -> dict[str, Any]:
        """Find images of the collection that match words, images or both; none if none matches."""
        if self._collection is None:
            raise InvalidInput("there is no collection; start `align-zoo mcp` with --collection")
        terms = [
            term._replace(text=str(self._folders.find(term.text))) if term.is_image else term
            for term in (read_query(query) if query.strip() else [])
        ]
        terms += [Term(str(self._folders.find(name))) for name in images or []]
        hits = self._collection.search(terms, k=number, where=where, all=all)
        return {"images": [{"image": hit.path, "score": hit.score, **hit.columns} for hit in hits]}

    def _embed(self, names: Sequence[str]) -> Iterator[tuple[str, Answer]]:
        if not 1 <= len(names) <= _MOST_IMAGES:
            raise InvalidInput(f"there are {len(names)} images; give 1 to {_MOST_IMAGES:,}")
        found: list[Input | InvalidImage] = []
        for name in names:
            try:
                path = self._folders.find(name)
                found.append(Input(str(path), path.stat().st_size, 0))
            except InvalidImage as error:
                found.append(error)
        answers = embed_parts([each for each in found if isinstance(each, Input)], self._embedder)
        for name, each in zip(names, found, strict=True):
            yield name, each if isinstance(each, InvalidImage) else next(answers)[2]


def mcp_server(assistant: Assistant) -> MCPServer[Any]:
    """Make a server of the protocol with the assistant's tools.

    >>> mcp_server(assistant).run("stdio")  # serves one client on stdin and stdout

    Errors of align-zoo reach the client in their own words, other errors by the tool's name alone.
    """
    server: MCPServer[Any] = MCPServer(
        "align-zoo",
        version=__version__,
        instructions="Zero-shot labels, cosines and search for images, by ALIGN.",
        log_level="WARNING",
    )
    only_reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    tools: list[Callable[..., dict[str, Any]]] = [assistant.classify, assistant.compare]
    if assistant.searches:
        tools.append(assistant.search)
    for tool in tools:
        server.add_tool(_with_tool_errors(tool), annotations=only_reads)
    return server


def _with_tool_errors(tool: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    @wraps(tool)
    def answer(**arguments: Any) -> dict[str, Any]:
        try:
            return tool(**arguments)
        except AlignZooError as error:
            raise ToolError(str(error)) from error

    return answer
