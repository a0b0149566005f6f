"""align_tiny's own parts of its training: plan, batches, loss and final statistics."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from align_zoo.inputs.tokenizer import AlignTokenizer
from align_zoo.tiny.architecture import build_config, build_transform, random_start
from align_zoo.tiny.sampler import CAPTIONS_EACH, ImagePool, sample_batch
from align_zoo.tiny.vocabulary import build_vocabulary, make_tokenizer, save_tokenizer
from align_zoo.towers.dual_encoder import Align, AlignOutput
from align_zoo.training.accelerator import open_accelerator
from align_zoo.training.batches import Batch, BatchSource
from align_zoo.training.recipe import Recipe
from align_zoo.training.trainer import Loss, Trainer

__all__ = ["Plan", "ScratchPlan", "TinyTraining", "caption_loss", "settle_statistics"]


@dataclass(frozen=True)
class ScratchPlan:
    """What the plans of the embedded checkpoints have in common.

    Attributes:
        seed: The seed of everything random.
        steps: The optimizer steps.
        learning_rate: The highest learning rate, after the warm-up.
        weight_decay: The weight decay of matrices and kernels.
        coldest: The least temperature that is learned.
    """

    seed: int
    steps: int
    learning_rate: float
    weight_decay: float
    coldest: float

    def trainer(
        self, model: Align, batches: BatchSource, loss: Loss, out: Path, *, resume: bool
    ) -> Trainer:
        """Make the trainer of this plan; each of its fields decides the outcome.

        Raises:
            TrainingError: for the reasons of ``Trainer``.
        """
        recipe = Recipe(
            steps=self.steps,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup=self.steps // 20,
            seed=self.seed,
            batch_norm="train",
            coldest=self.coldest,
        )
        return Trainer(
            model,
            batches,
            loss,
            recipe,
            out=out,
            resume=resume,
            decides={f"--{name.replace('_', '-')}": value for name, value in asdict(self).items()},
            accelerator=open_accelerator("no", cpu=True),
        )


@dataclass(frozen=True)
class Plan(ScratchPlan):
    """Everything that decides the outcome of a training of align_tiny.

    Attributes:
        batch: The images of a step.
        unrelated: The captions of a step that fit no image.
        images: The images that are drawn beforehand, a quarter of them easy.
        easy_until: The share of the steps after which batches have no easy images.
    """

    seed: int = 0
    steps: int = 3300
    learning_rate: float = 5e-3
    weight_decay: float = 0.02
    coldest: float = 0.03
    batch: int = 64
    unrelated: int = 16
    images: int = 24_000
    easy_until: float = 0.35

    @property
    def easy_images(self) -> int:
        """The number of easy images."""
        return self.images // 4


@dataclass(frozen=True)
class TinyBatches:
    """Batches of the pool's images: a ``BatchSource`` whose target is the rivals."""

    plan: Plan
    pool: ImagePool
    tokenizer: AlignTokenizer

    def __getitem__(self, step: int) -> Batch:
        """Make the batch of a step; the first batches are the easiest."""
        plan = self.plan
        easy = max(0.0, 1 - step / (plan.easy_until * plan.steps))
        drawn = sample_batch(self.pool, plan.seed, step, plan.batch, plan.unrelated, easy)
        tokens = dict(self.tokenizer(drawn.captions))
        return Batch(torch.from_numpy(drawn.pixels), tokens, torch.from_numpy(drawn.rivals))


class TinyTraining:
    """A training of align_tiny from a random start.

    Args:
        plan: The plan.
        out: The folder of the checkpoint.
        pool: The images, drawn from the same seed.
        resume: Continue an interrupted training of the same plan.

    Raises:
        TrainingError: for the reasons of ``Trainer``.
    """

    def __init__(self, plan: Plan, out: Path, pool: ImagePool, *, resume: bool) -> None:
        tokens = build_vocabulary()
        config = build_config(len(tokens))
        self.out, self.transform = out, build_transform()
        self.tokenizer = make_tokenizer(tokens, config.text_config)
        self.batches = TinyBatches(plan, pool, self.tokenizer)
        torch.manual_seed(plan.seed)
        model = random_start(config, self.transform)
        self.trainer = plan.trainer(model, self.batches, _loss, out, resume=resume)

    def finish(self) -> None:
        """Settle the statistics and write the checkpoint in the Hugging Face format."""
        settle_statistics(self.trainer.align, self.batches, self.batches.plan.steps)
        self.trainer.finish(self.transform, self.tokenizer)
        save_tokenizer(self.out, build_vocabulary())  # the same files, and the words as vocab.txt


@torch.no_grad()
def settle_statistics(model: Align, batches: BatchSource, step: int, count: int = 50) -> None:
    """Estimate BatchNorm's statistics for the final weights, over ``count`` batches."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
    model.train()
    for each in range(step, step + count):
        model.encode_image(batches[each].pixels)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def caption_loss(similarity: Tensor, rivals: Tensor, each: int = 1) -> Tensor:
    """Compute the symmetric cross-entropy without the false negatives.

    "Something red" is true of every red image of the batch. So each image has to find its own
    caption among fair wrong answers, and each caption its own image. If all other captions are
    rivals, the result is ALIGN's loss without label smoothing. Smoothing is for captions from the
    web, which are often wrong; the captions here are right.

    Args:
        similarity: Cosine over temperature, ``[B, each * B + U]``: a caption of each of the B
            images, in their order, ``each`` times; then U captions of no image.
        rivals: Whether the caption is a fair wrong answer for the image, ``[B, each * B + U]``.
        each: The number of captions of an image.
    """
    count = len(similarity)
    wrong = similarity.masked_fill(~rivals, float("-inf"))
    paired = similarity[:, : each * count].reshape(count, each, count)
    own = paired.diagonal(dim1=0, dim2=2)  # [each, B]
    # The cross-entropy of the own caption against the others alone is softplus(others - own).
    other_captions = wrong.logsumexp(dim=1)
    to_caption = F.softplus(other_captions - own)
    other_images = wrong[:, : each * count].logsumexp(dim=0).reshape(each, count)
    to_image = F.softplus(other_images - own)
    return (to_caption.mean() + to_image.mean()) / 2


def _loss(output: AlignOutput, temperature: torch.Tensor, rivals: Any) -> torch.Tensor:
    """Compute ALIGN's loss without the false negatives, from logits over the temperature."""
    if output.logits_per_image is None:
        raise ValueError("a contrastive loss needs both embeddings")
    return caption_loss(output.logits_per_image, rivals, CAPTIONS_EACH)
