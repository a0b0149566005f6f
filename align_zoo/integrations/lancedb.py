"""LanceDB's embedding function "align": tables of images that embed and search by themselves."""

from __future__ import annotations

import atexit
import logging
from functools import cache
from typing import Any

import numpy as np
from lancedb.embeddings import EmbeddingFunction, register

from align_zoo.collection.embedder import EncoderEmbedder, ServerEmbedder
from align_zoo.errors import InvalidImage
from align_zoo.runtime.images import ImageLike

__all__ = ["AlignEmbeddings"]

_log = logging.getLogger(__name__)


@register("align")
class AlignEmbeddings(EmbeddingFunction):
    """Unit vectors of a source column of images, which are searched by texts or by images.

    >>> from lancedb.embeddings import get_registry
    >>> align = get_registry().get("align").create(model="align_tiny")
    >>> align.ndims()
    128

    A source is a path or an encoded file (bytes). A row whose image cannot be used gets None and
    a warning in the log; LanceDB's ``on_bad_vectors`` says what becomes of the row. Nothing is
    tried a second time, because a damaged file stays damaged; the client tries again by itself
    where a server was busy.
    """

    model: str = "kakaobrain/align-base"
    """A hub id, an ALIGN folder, "align_tiny" or "align_emoji"; loaded once in a process."""
    server: str = ""
    """host:port of a server's gRPC endpoint, which then computes instead of ``model``."""
    token: str = ""
    """The server's token, as a variable of LanceDB's registry, so that no table holds it:
    ``registry.set_var("align_token", "secret")``, then ``create(token="$var:align_token")``."""
    tls: bool | str = False
    """True for TLS by the system's authorities, or the path of a file with the trusted ones."""

    @staticmethod
    def sensitive_keys() -> list[str]:
        """Return the arguments that LanceDB accepts as variables only."""
        return ["token"]

    def ndims(self) -> int:
        """Return the number of dimensions D of a vector."""
        return self._embedder().texts(["a"]).shape[1]

    def compute_source_embeddings(
        self, images: Any, *args: Any, **kwargs: Any
    ) -> list[np.ndarray | None]:
        """Embed N images: for each a unit vector [D] float32, or None.

        Raises:
            CheckpointError: the checkpoint cannot be loaded.
            AlignZooError: the server cannot be asked.
        """
        sources = self.sanitize_input(images)
        rows: list[np.ndarray | None] = [None] * len(sources)
        present = [i for i, source in enumerate(sources) if source is not None]
        answers = self._embedder().images([sources[i] for i in present])
        for i, answer in zip(present, answers, strict=True):
            if isinstance(answer, InvalidImage):
                _log.warning("row %d of %d has no vector: %s", i, len(sources), answer)
            else:
                rows[i] = answer
        return rows

    def compute_query_embeddings(
        self, query: str | ImageLike, *args: Any, **kwargs: Any
    ) -> list[np.ndarray]:
        """Embed a query: a string is a text, anything else an image.

        Raises:
            InvalidImage: the image cannot be used.
            CheckpointError: the checkpoint cannot be loaded.
            AlignZooError: the server cannot be asked.
        """
        if isinstance(query, str):
            return list(self._embedder().texts([query]))
        (answer,) = self._embedder().images([query])
        if isinstance(answer, InvalidImage):
            raise answer
        return [answer]

    def compute_source_embeddings_with_retry(
        self, *args: Any, **kwargs: Any
    ) -> list[np.ndarray | None]:
        """Embed images once; LanceDB would try each error again for minutes."""
        return self.compute_source_embeddings(*args, **kwargs)

    def compute_query_embeddings_with_retry(self, *args: Any, **kwargs: Any) -> list[np.ndarray]:
        """Embed a query once."""
        return self.compute_query_embeddings(*args, **kwargs)

    def _embedder(self) -> EncoderEmbedder | ServerEmbedder:
        return _embedder(self.model, self.server, self.token, self.tls)


@cache
def _embedder(
    model: str, server: str, token: str, tls: bool | str
) -> EncoderEmbedder | ServerEmbedder:
    """Load a checkpoint, or connect to a server, once: LanceDB makes a function for each call."""
    if not server:
        return EncoderEmbedder(model)
    embedder = ServerEmbedder([server], token=token or None, tls=tls)
    atexit.register(embedder.close)  # at the interpreter's end gRPC may be gone before the cache is
    return embedder
