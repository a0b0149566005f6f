"""Retrieval on held-out pairs: recall of images by caption, and of captions by image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from accelerate.utils import send_to_device

from align_zoo.evaluation.ranks import recall
from align_zoo.evaluation.retrieval import retrieve
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.inputs.tokenizer import AlignTokenizer
from align_zoo.towers.dual_encoder import Align
from align_zoo.training.batches import Batch, read_pairs
from align_zoo.training.errors import TrainingError
from align_zoo.training.loading import read_ahead
from align_zoo.training.pair import Pairs

__all__ = ["HeldOutPairs"]

_KS = (1, 5, 10)


class HeldOutPairs:
    """Pairs that measure a model in training.

    ``HeldOutPairs(pairs, ...).measure(model)["image_to_text_R@1"]`` is a share, 0 to 1.

    Args:
        pairs: the pairs; any of an image's captions is a right answer.
        transform: the checkpoint's transform.
        tokenizer: the checkpoint's tokenizer.
        batch_size: pairs that are embedded at once.
        workers: processes that decode images.
        strict: refuse a broken image instead of leaving it out.
        on_broken: called once with each pair that is left out and the reason.
    """

    def __init__(
        self,
        pairs: Pairs,
        transform: AlignTransform,
        tokenizer: AlignTokenizer,
        *,
        batch_size: int,
        workers: int = 0,
        strict: bool = False,
        on_broken: Callable[[str], None],
    ) -> None:
        self.pairs, self.transform, self.tokenizer = pairs, transform, tokenizer
        self.batch_size, self.workers, self.strict = batch_size, workers, strict
        self._on_broken, self._reported = on_broken, set[str]()

    def __getitem__(self, batch: int) -> Batch:
        """Read the pairs of a batch."""
        first = batch * self.batch_size
        chosen = range(first, min(first + self.batch_size, len(self.pairs)))
        return read_pairs(self.pairs, chosen, self.transform, self.tokenizer, strict=self.strict)

    def measure(self, model: Align) -> dict[str, float | None]:
        """Return R@1, R@5 and R@10 both ways, 0 to 1, or None with fewer candidates than that.

        Broken images are left out. An image with several captions is one image, and each of its
        captions may find it. Equal captions are equal answers.

        Raises:
            TrainingError: every image is broken; with ``strict``, any image is.
        """
        images, texts = [], []
        names: list[str] = []
        captions: list[str] = []
        batches = range(math.ceil(len(self.pairs) / self.batch_size))
        for batch in read_ahead(self, batches, workers=self.workers):
            self._report(batch.broken)
            if not len(batch.pixels):
                continue
            batch = send_to_device(batch, model.temperature.device)
            images.append(model.encode_image(batch.pixels, normalize=True).float().cpu())
            texts.append(model.encode_text(batch.tokens, normalize=True).float().cpu())
            names += batch.target
            captions += batch.captions
        if not images:
            raise TrainingError(
                f"all {len(self.pairs)} held-out images are broken; the log names each"
            )
        # Embeddings of equal inputs differ by rounding between batches: keep the first.
        distinct, owners = _first_of_equals(names)
        wordings, said = _first_of_equals(captions)
        found = retrieve(torch.cat(images)[distinct], torch.cat(texts)[wordings][said], owners)
        measures: dict[str, float | None] = {}
        for k in _KS:
            measures[f"image_to_text_R@{k}"] = recall(found.texts, k, len(names))
            measures[f"text_to_image_R@{k}"] = recall(found.images, k, len(distinct))
        return measures

    def _report(self, broken: Iterable[str]) -> None:
        for each in broken:
            if each not in self._reported:
                self._reported.add(each)
                self._on_broken(each)


def _first_of_equals(names: list[str]) -> tuple[list[int], list[int]]:
    """Return the first row of each distinct name, and each name's index among these rows."""
    rows: dict[str, int] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, row)
    place = {name: i for i, name in enumerate(rows)}
    return list(rows.values()), [place[name] for name in names]
