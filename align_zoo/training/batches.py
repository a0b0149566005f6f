"""Batches of captioned images, each determined by its step alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from align_zoo.errors import InvalidImage, InvalidInput
from align_zoo.inputs.decode import decode_image
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.inputs.tokenizer import AlignTokenizer
from align_zoo.training.errors import TrainingError
from align_zoo.training.pair import Pairs

__all__ = ["Batch", "BatchSource", "PairBatches", "read_pairs"]


class Batch(NamedTuple):
    """The input of one process in one step."""

    pixels: torch.Tensor
    """Preprocessed images, [B, 3, H, W]."""
    tokens: dict[str, torch.Tensor]
    """``input_ids`` and ``attention_mask``, [T, L]."""
    target: Any = None
    """Further input of the loss."""
    captions: tuple[str, ...] = ()
    """The texts that ``tokens`` encodes."""
    broken: tuple[str, ...] = ()
    """The pairs that were left out, each with the reason."""


class BatchSource(Protocol):
    """The batch of each step, by the step's number, independent of the steps before."""

    def __getitem__(self, step: int) -> Batch:
        """Return the batch of a step."""


class PairBatches:
    """Batches of all pairs, in an order that the seed and the epoch determine.

    ``PairBatches(pairs, transform, tokenizer, seed=0, batch_size=32)[0]`` is the batch of the
    first step. Each step takes the next ``batch_size * processes`` pairs of the epoch's order,
    and each process takes its share of them. The last pairs of an epoch, too few for a batch,
    are skipped in that epoch.

    Args:
        pairs: the pairs to train on.
        transform: the checkpoint's transform; with ``random_crop`` any part of the resized
            image is cut out instead of the centre.
        tokenizer: the checkpoint's tokenizer.
        seed: the seed of the order and the crops.
        batch_size: pairs per process and step.
        process: the number of this process, from 0.
        processes: the number of processes.
        random_crop: crop at random, as an augmentation.
        strict: refuse a broken image instead of leaving it out.

    Raises:
        TrainingError: there are fewer pairs than a step needs, or the transform gives images of
            different sizes.
    """

    def __init__(
        self,
        pairs: Pairs,
        transform: AlignTransform,
        tokenizer: AlignTokenizer,
        *,
        seed: int,
        batch_size: int,
        process: int = 0,
        processes: int = 1,
        random_crop: bool = True,
        strict: bool = False,
    ) -> None:
        whole = batch_size * processes
        if len(pairs) < whole:
            raise TrainingError(
                f"there are {len(pairs)} pairs, fewer than one batch of {whole}; "
                "choose a smaller --batch-size"
            )
        if transform.input_size is None:
            raise TrainingError(
                "the checkpoint's preprocessor_config.json neither resizes nor crops: images "
                "of different sizes make no batch"
            )
        self.pairs, self.transform, self.tokenizer = pairs, transform, tokenizer
        self.seed, self.batch_size, self.random_crop = seed, batch_size, random_crop
        self.strict = strict
        self.whole, self.first = whole, process * batch_size
        self.steps_per_epoch = len(pairs) // whole

    def __getitem__(self, step: int) -> Batch:
        """Return the batch of a step, from 0.

        Raises:
            TrainingError: every image of the batch is broken; with ``strict``, any image is.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        start = place * self.whole + self.first
        chosen = _order(self.seed, epoch, len(self.pairs))[start : start + self.batch_size]
        batch = read_pairs(
            self.pairs,
            chosen.tolist(),
            self.transform,
            self.tokenizer,
            # By the place in the whole batch: the number of processes does not change the crops.
            crops=[(self.seed, step, self.first + i) for i in range(len(chosen))]
            if self.random_crop
            else None,
            strict=self.strict,
        )
        if not len(batch.pixels):
            raise TrainingError(
                f"all {len(chosen)} images of a batch are broken, the first being {batch.broken[0]}"
            )
        return batch


def read_pairs(
    pairs: Pairs,
    chosen: Sequence[int],
    transform: AlignTransform,
    tokenizer: AlignTokenizer,
    *,
    crops: Sequence[tuple[int, ...]] | None = None,
    strict: bool = False,
) -> Batch:
    """Read a batch without its broken pairs; ``target`` holds the names of the images.

    The batch is empty if every pair is broken.

    Args:
        pairs: the source of the pairs.
        chosen: the indices of the pairs.
        transform: image to tensor.
        tokenizer: caption to tokens.
        crops: the seed of each pair's random crop; None crops the centre.
        strict: refuse the first broken pair.

    Raises:
        TrainingError: with ``strict``, a pair is broken.
    """
    pixels, captions, kept, broken = [], [], [], []
    for i, index in enumerate(chosen):
        try:
            pair = pairs.read(index)
            image = decode_image(pair.image)
            array = _crop(transform, image, crops[i]) if crops else transform.to_array(image)
        except (InvalidInput, OSError) as error:
            broken.append(f"{pairs.where(index)}: {error}")
            if strict:
                raise TrainingError(f"{broken[0]}; without --strict it is left out") from error
            continue
        pixels.append(array)
        captions.append(pair.caption)
        kept.append(pairs.images[index])
    if not pixels:
        return Batch(torch.empty(0), {}, broken=tuple(broken))
    tokens = dict(tokenizer(captions))
    return Batch(
        torch.from_numpy(np.stack(pixels)), tokens, tuple(kept), tuple(captions), tuple(broken)
    )


def _crop(transform: AlignTransform, image: Any, seed: tuple[int, ...]) -> np.ndarray:
    if transform.crop is None:
        return transform.to_array(image)
    pixels = replace(transform, crop=None).to_array(image)
    (height, width), (rows, columns) = transform.crop, pixels.shape[1:]
    if rows < height or columns < width:
        raise InvalidImage(f"a {columns} x {rows} image is smaller than the crop")
    rng = np.random.default_rng([_CROPS, *seed])
    top, left = rng.integers(0, rows - height + 1), rng.integers(0, columns - width + 1)
    return pixels[:, top : top + height, left : left + width]


# Keys of the random streams: no stream repeats another.
_ORDER, _CROPS = range(2)


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([_ORDER, seed, epoch]).permutation(count)
