"""Zero-shot labels for images of any number, read and embedded in parts of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from align_zoo.collection.embedder import Embedder
from align_zoo.collection.shards import embed_parts
from align_zoo.collection.sources import Input
from align_zoo.errors import AlignZooError, InvalidImage
from align_zoo.inputs.prompts import check_classnames, fill, read_templates
from align_zoo.runtime.predictions import Prediction, check_top_k, mean_rows, ranked

__all__ = ["Labelled", "Labels", "classify", "read_labels"]

_PART = 512


class Labels(NamedTuple):
    """Labels and their unit rows."""

    names: list[str]
    rows: np.ndarray
    """[C, D]: for each label the mean over its prompts, of length 1."""

    @classmethod
    def read(
        cls,
        names: Iterable[str],
        embedder: Embedder,
        *,
        templates: str | Sequence[str] = "none",
        none: str | None = None,
    ) -> Labels:
        """Embed labels.

        Args:
            names: the labels; a label that occurs twice counts once.
            embedder: what embeds them.
            templates: prompt templates as of ``align-zoo evaluate``: "none", "photo", "imagenet",
                or texts with ``{}`` in the place of the label.
            none: a further label, asked about without a template, for images that show none of
                the others.

        Raises:
            InvalidText: there is no label, a label is blank, or a template has not one ``{}``.
        """
        listed = list(dict.fromkeys(check_classnames(names, "label")))
        forms = read_templates(templates)
        prompts = [fill(form, name) for name in listed for form in forms]
        counts = [len(forms)] * len(listed)
        if none is not None:
            (label,) = check_classnames([none], "label")
            listed.append(label)
            prompts.append(label)
            counts.append(1)
        return cls(listed, mean_rows(embedder.texts(prompts), counts))

    def best(self, images: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
        """Choose the best label for each image.

        Args:
            images: unit rows [N, D].
            temperature: the learned scalar of ``logits = cosine / temperature``.

        Returns:
            The labels' numbers [N] int, and their probabilities [N] float64.
        """
        logits = images.astype(np.float64) @ self.rows.T.astype(np.float64) / temperature
        best = logits.argmax(axis=1)
        with np.errstate(under="ignore"):
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return best, 1 / powers.sum(axis=1)


def read_labels(file: Path) -> list[str]:
    """Read labels, one a line; blank lines are left out.

    Raises:
        AlignZooError: the file cannot be read, or is no UTF-8.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AlignZooError(f"{file} cannot be read: {error}") from error
    return [line.strip() for line in lines if line.strip()]


class Labelled(NamedTuple):
    """An image's answer."""

    path: str
    answer: list[Prediction] | InvalidImage
    """Predictions, best first; or why there are none."""


def classify(
    items: Iterable[Input],
    labels: Labels,
    embedder: Embedder,
    *,
    top_k: int | None = 1,
) -> Iterator[Labelled]:
    """Yield each image's labels, best first, in the order of the images.

    Args:
        items: images of a source.
        labels: what to choose from.
        embedder: what embeds the images; the labels' own.
        top_k: the most labels an image; None for all.

    Raises:
        InvalidInput: ``top_k`` is no whole number above 0.
    """
    most = check_top_k(top_k)
    iterator = iter(items)
    while part := list(islice(iterator, _PART)):
        for item, _, answer in embed_parts(part, embedder):
            if isinstance(answer, InvalidImage):
                yield Labelled(item.path, answer)
            else:
                found = ranked(labels.names, answer, labels.rows, embedder.temperature, most)
                yield Labelled(item.path, found)
