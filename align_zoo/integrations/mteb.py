"""A model for MTEB and MIEB, by the runtime that is fastest on the machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from mteb.models import ModelMeta
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_meta import ScoringFunction

from align_zoo.runtime.load import load_encoder

__all__ = ["AlignEncoder"]


class AlignEncoder(AbsEncoder):
    """ALIGN for ``mteb.evaluate``.

    >>> mteb.evaluate(AlignEncoder("kakaobrain/align-base"), mteb.get_tasks(["CIFAR10ZeroShot"]))

    Args:
        model_name: a hub id, an ALIGN folder, "align_tiny" or "align_emoji".
        revision: branch, tag or commit of a hub id.
        device: "cpu", "cuda" ...; by default a GPU if there is one.
        kwargs: further arguments of :func:`align_zoo.load_encoder`.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
    """

    def __init__(
        self,
        model_name: str,
        revision: str | None = None,
        *,
        device: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.model = load_encoder(model_name, revision=revision, device=device or "auto", **kwargs)
        owner, name = ("align-zoo", *Path(model_name).parts)[-2:]  # MTEB wants both
        self.mteb_model_meta = ModelMeta.create_empty(
            {
                "name": f"{owner}/{name}",
                "revision": revision or self.model.fingerprint,
                "embed_dim": self.model.embed_texts(["a"]).shape[1],
                "modalities": ["image", "text"],
                "similarity_fn_name": ScoringFunction.COSINE,
                "languages": ["eng-Latn"],
                "open_weights": True,
                "use_instructions": False,
            }
        )

    def encode(self, inputs: Iterable[dict[str, Any]], **kwargs: Any) -> np.ndarray:
        """Embed batches of N items in all: [N, D] float32.

        An item with an image and a text gets the sum of both unit vectors.

        Raises:
            InvalidImage: an image cannot be used.
        """
        rows = []
        for batch in inputs:
            found = []
            if "text" in batch:
                found.append(self.model.embed_texts(list(batch["text"])))
            if "image" in batch:
                found.append(self.model.embed_images(list(batch["image"])))
            rows.append(np.sum(found, axis=0))
        return np.concatenate(rows)
