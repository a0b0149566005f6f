"""A model for FiftyOne: embeddings, searches by a text, and zero-shot labels of a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from fiftyone import Classification
from fiftyone.core.models import EmbeddingsMixin, Model, PromptMixin
from PIL import Image

from align_zoo.runtime.load import load_encoder

__all__ = ["AlignModel"]


class AlignModel(Model, EmbeddingsMixin, PromptMixin):
    """ALIGN for a dataset's ``compute_embeddings`` and ``apply_model``, and FiftyOne's brain.

    >>> model = AlignModel("kakaobrain/align-base", classes=["cat", "dog"])
    >>> dataset.apply_model(model, label_field="animal")
    >>> index = fiftyone.brain.compute_similarity(dataset, model=model, brain_key="align")
    >>> dataset.sort_by_similarity("a cat on a sofa", brain_key="align")

    FiftyOne reads the images and gives them as arrays [H, W, 3] uint8.

    Args:
        model: a hub id, an ALIGN folder, "align_tiny" or "align_emoji".
        classes: the labels of ``apply_model``; embeddings need none.
        template: prompt template; ``{}`` is replaced by the label.
        options: further arguments of :func:`align_zoo.load_encoder`.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
    """

    media_type = "image"
    has_embeddings = can_embed_prompts = True
    ragged_batches = False
    transforms = None
    preprocess = False

    def __init__(
        self,
        model: str = "kakaobrain/align-base",
        classes: Sequence[str] = (),
        *,
        template: str = "{}",
        **options: Any,
    ) -> None:
        self._encoder = load_encoder(model, **options)
        self._classes = list(classes)
        self._template = template

    def predict(self, arg: np.ndarray) -> Classification:
        """Return the class that fits an image best, with its probability among the classes.

        Raises:
            InvalidText: there are no classes.
        """
        return self.predict_all([arg])[0]

    def predict_all(self, args: Iterable[np.ndarray]) -> list[Classification]:
        """Return the best class of each of N images."""
        images = [Image.fromarray(each) for each in args]
        answers = self._encoder.classify(images, self._classes, template=self._template, top_k=1)
        return [Classification(label=best.label, confidence=best.score) for (best,) in answers]

    def embed(self, arg: np.ndarray) -> np.ndarray:
        """Embed an image: its unit vector [D] float32."""
        return self.embed_all([arg])[0]

    def embed_all(self, args: Iterable[np.ndarray]) -> np.ndarray:
        """Embed N images: [N, D] float32."""
        return self._encoder.embed_images([Image.fromarray(each) for each in args])

    def embed_prompt(self, arg: str) -> np.ndarray:
        """Embed a text: its unit vector [D] float32."""
        return self.embed_prompts([arg])[0]

    def embed_prompts(self, args: Sequence[str]) -> np.ndarray:
        """Embed N texts: [N, D] float32."""
        return self._encoder.embed_texts(list(args))
