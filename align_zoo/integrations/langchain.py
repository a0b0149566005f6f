"""LangChain's embeddings: texts and images by a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.embeddings import Embeddings

from align_client import ImageLike
from align_zoo.integrations.clients import Clients

__all__ = ["AlignEmbeddings"]


class AlignEmbeddings(Embeddings):
    """Unit vectors of texts and images, each as a list of D floats, by ``align-zoo serve``.

    >>> embeddings = AlignEmbeddings("localhost:8001", token="secret")
    >>> embeddings.embed_query("a red star")
    >>> embeddings.embed_image(["red-star.png"])

    Texts and images are in one space, so a text's vector finds images. Every method raises
    :class:`align_client.AlignClientError`.

    Args:
        url: host:port of the server's gRPC endpoint, or a list of such addresses.
        options: further arguments of :class:`align_client.AlignClient`.
    """

    def __init__(self, url: str | Sequence[str] = "localhost:8001", **options: Any) -> None:
        self._clients = Clients(url, **options)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed N texts."""
        return self._clients.texts(texts)

    def embed_query(self, text: str) -> list[float]:
        """Embed a text."""
        return self._clients.texts([text])[0]

    def embed_image(self, uris: Sequence[ImageLike]) -> list[list[float]]:
        """Embed N images: paths, encoded files (bytes) or PIL images; no URLs.

        The names of the method and of its argument are those that vector stores call.
        """
        return self._clients.images(uris)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed N texts."""
        return await self._clients.atexts(texts)

    async def aembed_query(self, text: str) -> list[float]:
        """Embed a text."""
        return (await self._clients.atexts([text]))[0]

    async def aembed_image(self, uris: Sequence[ImageLike]) -> list[list[float]]:
        """Embed N images."""
        return await self._clients.aimages(uris)
