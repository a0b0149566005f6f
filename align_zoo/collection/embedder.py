"""What computes a collection's embeddings: an encoder in this process, or servers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Union

import numpy as np

from align_zoo.checkpoint.folder import EMBEDDED
from align_zoo.errors import AlignZooError, InvalidImage, reason_of, to_install
from align_zoo.runtime.encoder import Encoder
from align_zoo.runtime.images import ImageLike
from align_zoo.runtime.load import load_encoder

__all__ = ["Embedder", "EncoderEmbedder", "ServerEmbedder"]

_NUMBER = re.compile(r"^image \d+: ")
"""An image's place in a call, which says nothing outside of the call."""

Answer = Union[np.ndarray, InvalidImage]
"""An image's unit row [D] float32, or the reason why it has none."""


class Embedder(Protocol):
    """Images and texts to unit rows of one checkpoint."""

    @property
    def model(self) -> str:
        """The checkpoint's name, by which it can be loaded again; empty for a server's."""

    @property
    def fingerprint(self) -> str:
        """The checkpoint's fingerprint: only embeddings of the same fingerprint compare."""

    @property
    def temperature(self) -> float:
        """The learned scalar of ``logits = cosine / temperature``."""

    def images(self, files: Sequence[bytes]) -> list[Answer]:
        """Embed encoded images; an image that cannot be used has an error in its place."""

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts: unit rows [N, D] float32."""

    def elsewhere(self) -> Callable[[int | None], Embedder]:
        """Return what makes this embedder again in another process, from a number of threads.

        It can be pickled.
        """


class EncoderEmbedder:
    """Computes in this process.

    >>> EncoderEmbedder("align_tiny").texts(["star"]).shape
    (1, 128)

    Args:
        model: a hub id, an ALIGN folder, "align_tiny" or "align_emoji".
        encoder: the loaded checkpoint, if there is one already.
        threads: CPU threads of a tower; by default one for each core.

    Raises:
        CheckpointError: the checkpoint cannot be found, is damaged or not supported.
    """

    def __init__(
        self, model: str, encoder: Encoder | None = None, *, threads: int | None = None
    ) -> None:
        self.model = model
        self._encoder = encoder = encoder or load_encoder(model, threads=threads)
        self.fingerprint = encoder.fingerprint
        self.temperature = encoder.temperature

    def images(self, files: Sequence[ImageLike]) -> list[Answer]:
        """Embed images; an image that cannot be used has an error in its place."""
        return self._encoder.embed_images(files, on_error="return") if files else []

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts: unit rows [N, D] float32."""
        return self._encoder.embed_texts(texts)

    def elsewhere(self) -> Callable[[int | None], Embedder]:
        """Return what loads the checkpoint again in another process, with so many threads."""
        return partial(_encoder_embedder, type(self), _absolute(self.model))


class ServerEmbedder:
    """Asks one or several servers by ``align-client``; neither torch nor a checkpoint is needed.

    >>> ServerEmbedder(["gpu1:8001", "gpu2:8001"])

    Args:
        urls: host:port of each server's gRPC endpoint.
        timeout: the seconds of one call.
        options: further arguments of ``align_client.AlignClient``: ``token``, ``tls``.

    Raises:
        AlignZooError: align-client is not installed, or no server answers.
    """

    def __init__(self, urls: Sequence[str], *, timeout: float = 120.0, **options: Any) -> None:
        try:
            from align_client import AlignClient, AlignClientError
        except ImportError as error:
            raise AlignZooError(
                f"servers are asked by align-client: {to_install('./client')}"
            ) from error
        self.model = ""
        self._failure = AlignClientError
        self._urls = ", ".join(urls)
        options["timeout"] = timeout
        self._again = partial(_server_embedder, tuple(urls), options)
        client = None
        try:
            self._client = client = AlignClient(list(urls), **options)
            self.temperature = self._client.temperature()
            self.fingerprint = self._client.fingerprint()
        except AlignClientError as error:
            if client is not None:
                client.close()
            raise AlignZooError(f"{self._urls}: {error}") from error

    def images(self, files: Sequence[ImageLike]) -> list[Answer]:
        """Embed images; an image that cannot be used has an error in its place.

        Raises:
            AlignZooError: the servers cannot be asked; no image is to blame.
        """
        from align_client import InvalidInput

        answers: list[Answer] = []
        for answer in self._client.embed_image(list(files), on_error="return") if files else []:
            if isinstance(answer, InvalidInput):
                message = _NUMBER.sub("", str(answer))
                answers.append(InvalidImage(message, reason_of(message) or "invalid"))
            elif isinstance(answer, Exception):
                raise AlignZooError(f"{self._urls}: {answer}") from answer
            else:
                answers.append(answer)
        return answers

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts: unit rows [N, D] float32.

        Raises:
            AlignZooError: the servers cannot be asked, or refuse a text.
        """
        try:
            return self._client.embed_text(list(texts))
        except self._failure as error:
            raise AlignZooError(f"{self._urls}: {error}") from error

    def close(self) -> None:
        """Close the connections; later calls raise AlignZooError."""
        self._client.close()

    def elsewhere(self) -> Callable[[int | None], Embedder]:
        """Return what asks the same servers from another process."""
        return self._again


def _encoder_embedder(
    kind: type[EncoderEmbedder], model: str, threads: int | None
) -> EncoderEmbedder:
    return kind(model, threads=threads)


def _server_embedder(
    urls: tuple[str, ...], options: dict[str, Any], threads: int | None
) -> ServerEmbedder:
    return ServerEmbedder(urls, **options)


def _absolute(model: str) -> str:
    """Return a folder's name as it is known to every process; other names stay."""
    folder = Path(model).expanduser()
    return str(folder.absolute()) if model not in EMBEDDED and folder.is_dir() else model
