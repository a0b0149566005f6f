"""LlamaIndex's embeddings of texts and images, by a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.embeddings import MultiModalEmbedding

from align_zoo.integrations.clients import Clients

__all__ = ["AlignEmbedding"]


class AlignEmbedding(MultiModalEmbedding):
    """Unit vectors of texts and images, each as a list of D floats, by ``align-zoo serve``.

    >>> embedding = AlignEmbedding(url="localhost:8001", options={"token": "secret"})
    >>> embedding.get_text_embedding("a red star")
    >>> embedding.get_image_embedding("red-star.png")

    Texts and images are in one space, so a text's vector finds images. Every method raises
    :class:`align_client.AlignClientError`. ``options`` are further arguments of
    :class:`align_client.AlignClient`; they are not written where LlamaIndex saves its components.
    """

    model_name: str = Field(default="align", description="A name for logs and caches.")
    url: str | list[str] = Field(
        default="localhost:8001", description="host:port of the server's gRPC endpoint, or several."
    )
    embed_batch_size: int = Field(default=64, description="Items in a call.", gt=0, le=2048)
    _clients: Clients = PrivateAttr()

    def __init__(
        self,
        url: str | list[str] = "localhost:8001",
        *,
        options: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(url=url, **fields)
        self._clients = Clients(url, **(options or {}))

    @classmethod
    def class_name(cls) -> str:
        """Name the class where LlamaIndex saves its components."""
        return "AlignEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._clients.texts([query])[0]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._clients.texts([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._clients.texts(texts)

    def _get_image_embedding(self, img_file_path: str | BytesIO) -> list[float]:
        return self._clients.images(_read([img_file_path]))[0]

    def _get_image_embeddings(self, img_file_paths: list[str | BytesIO]) -> list[list[float]]:
        return self._clients.images(_read(img_file_paths))

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return (await self._clients.atexts([query]))[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._clients.atexts([text]))[0]

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await self._clients.atexts(texts)

    async def _aget_image_embedding(self, img_file_path: str | BytesIO) -> list[float]:
        return (await self._clients.aimages(_read([img_file_path])))[0]

    async def _aget_image_embeddings(
        self, img_file_paths: list[str | BytesIO]
    ) -> list[list[float]]:
        return await self._clients.aimages(_read(img_file_paths))


def _read(images: Sequence[str | BytesIO]) -> list[str | bytes]:
    return [each.getvalue() if isinstance(each, BytesIO) else each for each in images]
