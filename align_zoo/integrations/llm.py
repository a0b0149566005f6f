"""A plugin of the command `llm`: its embeddings of texts and, with --binary, of image files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

import llm

from align_zoo.runtime.encoder import Encoder
from align_zoo.runtime.load import load_encoder

__all__ = ["AlignModel", "register_embedding_models"]


class AlignModel(llm.EmbeddingModel):
    """An embedding model for `llm embed`, `llm embed-multi` and `llm similar`.

    >>> import llm
    >>> llm.get_embedding_model("align-tiny").embed("a red star")

    Args:
        model_id: the name after `llm embed-multi --model`.
        checkpoint: a hub id, an ALIGN folder, "align_tiny" or "align_emoji".
    """

    supports_binary = True
    batch_size = 64

    def __init__(self, model_id: str, checkpoint: str) -> None:
        self.model_id = model_id
        self._checkpoint = checkpoint

    @cached_property
    def _encoder(self) -> Encoder:
        return load_encoder(self._checkpoint)

    def embed_batch(
        self, items: Iterable[str | bytes], *, key: str | None = None
    ) -> Iterator[list[float]]:
        """Embed texts (strings) and image files (bytes): a unit vector of D floats for each.

        Raises:
            InvalidImage: an image cannot be used.
            CheckpointError: the checkpoint cannot be loaded.
        """
        items = list(items)
        files = [each for each in items if isinstance(each, bytes)]
        texts = [each for each in items if isinstance(each, str)]
        images = iter(self._encoder.embed_images(files) if files else ())
        strings = iter(self._encoder.embed_texts(texts) if texts else ())
        for each in items:
            yield next(images if isinstance(each, bytes) else strings).tolist()


@llm.hookimpl
def register_embedding_models(register: Callable[[llm.EmbeddingModel], None]) -> None:
    """Add the models `align`, of ALIGN_ZOO_MODEL, `align-tiny` and `align-emoji`."""
    register(AlignModel("align", os.environ.get("ALIGN_ZOO_MODEL", "kakaobrain/align-base")))
    register(AlignModel("align-tiny", "align_tiny"))
    register(AlignModel("align-emoji", "align_emoji"))
