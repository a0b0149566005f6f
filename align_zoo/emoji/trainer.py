"""align_emoji's own parts of its training: plan, batches and loss."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from align_zoo.emoji.architecture import IMAGE_SIZE, build_config, build_transform
from align_zoo.emoji.augment import augment, can_mirror, draw_nothing
from align_zoo.emoji.captions import Attributes, Fillers, write_names, write_nothing
from align_zoo.emoji.drawings import Drawings
from align_zoo.emoji.packages import HELD_OUT_STYLE, STYLES
from align_zoo.emoji.vocabulary import train_vocabulary
from align_zoo.inputs.tokenizer import AlignTokenizer
from align_zoo.tiny.architecture import random_start
from align_zoo.tiny.trainer import ScratchPlan, settle_statistics
from align_zoo.tiny.vocabulary import make_tokenizer
from align_zoo.towers.dual_encoder import AlignOutput
from align_zoo.towers.factory import create_align
from align_zoo.training.batches import Batch
from align_zoo.writing import replacing

__all__ = ["EmojiBatches", "EmojiTraining", "Plan", "Target", "emoji_loss"]

LONGEST = 18
"""Tokens at which training cuts a text, a hundredth of all: padding is work for nothing."""
SIDES = ((0.4, 41), (0.7, 49))
"""The images' side until a share of the steps: small images teach as much at half the cost."""


@dataclass(frozen=True)
class Plan(ScratchPlan):
    """Everything that decides the outcome of a training of align_emoji.

    Attributes:
        concepts: the concepts of a step, each in two images of different styles.
        names: the names of a step: those of its concepts, and others that are wrong.
        attributes: the texts of keywords and groups in a step.
        nothing: the images without an emoji in a step, and the texts that say nothing.
        without: styles that are not trained on, beside the one that is always held out.
        start: a checkpoint of this architecture to go on from, with large images; "" for a
            random start.
    """

    seed: int = 0
    steps: int = 10_000
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    coldest: float = 0.03
    concepts: int = 96
    names: int = 640
    attributes: int = 192
    nothing: int = 12
    without: tuple[str, ...] = ()
    start: str = ""

    @property
    def styles(self) -> tuple[str, ...]:
        """The styles that are trained on."""
        return tuple(each for each in STYLES if each not in {HELD_OUT_STYLE, *self.without})


class Target(NamedTuple):
    """What is true in a batch whose texts are names, then further texts, then all groups.

    The images are drawings, then images without an emoji.
    """

    name: Tensor
    """The index of each drawing's name among the texts, [drawings]."""
    fits: Tensor
    """Which further text is true of which image, [B, further texts]."""
    group: Tensor
    """Which group each drawing is of, [drawings, groups]."""


class EmojiBatches:
    """Batches in which each concept has two images of different styles: a ``BatchSource``.

    ``EmojiBatches(plan, drawings, tokenizer)[0]`` is the first step's batch. Its texts are the
    names of the shown concepts, names of others, each in a wording of its own, and then
    attributes of the shown.

    Args:
        plan: the plan.
        drawings: all drawings; those of held-out styles and concepts are left out.
        tokenizer: captions to tokens.
    """

    def __init__(self, plan: Plan, drawings: Drawings, tokenizer: AlignTokenizer) -> None:
        self.plan, self.tokenizer, self.pixels = plan, tokenizer, drawings.pixels
        rows = drawings.rows(plan.styles)
        by_concept: dict[int, dict[str, list[int]]] = {}
        for row in rows.tolist():
            styles = by_concept.setdefault(int(drawings.concept[row]), {})
            styles.setdefault(drawings.style[row], []).append(row)
        kept = sorted(by_concept)
        self.rows = [list(by_concept[each].values()) for each in kept]
        """The drawings of each training concept, by style."""
        self.concepts = [drawings.concepts[each] for each in kept]
        self.attributes = Attributes.of(self.concepts)
        self.fillers = Fillers.of(self.concepts)
        self.groups = sorted({each.group for each in self.concepts})
        self.group = torch.tensor(
            [[each.group == group for group in self.groups] for each in self.concepts]
        )
        subgroups = sorted({each.subgroup for each in self.concepts})
        self.subgroup = tuple(subgroups.index(each.subgroup) for each in self.concepts)
        self.can_mirror = torch.tensor([can_mirror(each) for each in self.concepts])

    def __getitem__(self, step: int) -> Batch:
        """Make the batch of a step, the same at every call."""
        plan, rng = self.plan, np.random.default_rng([self.plan.seed, step])
        shown = self._shown(step)
        chosen = [row for each in shown for row in _two_styles(self.rows[each], rng)]
        concept = np.repeat(shown, 2)
        others = np.setdiff1d(np.arange(len(self.concepts)), shown)
        others = rng.permutation(others)[: plan.names - len(shown)]
        named = [self.concepts[each].name for each in (*shown, *others)]
        further, fits = self.attributes.sample(plan.attributes, shown, self.fillers, rng)
        seeds = rng.integers(1 << 62, size=2).tolist()
        drawings = torch.from_numpy(self.pixels[chosen])
        pixels = [
            augment(drawings, self.can_mirror[concept], self._side(step), seeds[0]),
            draw_nothing(plan.nothing, self.fillers.common, self._side(step), seeds[1]),
        ]
        target = Target(
            torch.arange(len(shown)).repeat_interleave(2),
            torch.block_diag(
                torch.from_numpy(fits[:, concept].T.copy()), torch.ones(plan.nothing, plan.nothing)
            ).bool(),
            self.group[concept],
        )
        texts = [
            *write_names(named, self.fillers, rng),
            *further,
            *write_nothing(plan.nothing, self.fillers, rng),
            *write_names(self.groups, self.fillers, rng),
        ]
        return Batch(torch.cat(pixels), dict(self.tokenizer(texts, max_length=LONGEST)), target)

    def _side(self, step: int) -> int:
        """Return the side of a step's images: the checkpoint's own at last."""
        done = 1.0 if self.plan.start else step / self.plan.steps
        return next((side for until, side in SIDES if done < until), IMAGE_SIZE)

    def _shown(self, step: int) -> np.ndarray:
        """Choose the concepts of a step: half by chance, half from a few subgroups.

        Those of a subgroup are alike, and so are harder to tell apart.
        """
        count, each = len(self.concepts), min(self.plan.concepts, len(self.concepts)) // 2
        epoch, place = divmod(step, count // each)
        mixed, alike = (
            _order(self.plan.seed, epoch, self.subgroup, together) for together in (False, True)
        )
        part = slice(place * each, (place + 1) * each)
        return np.unique(np.concatenate([mixed[part], alike[part]]))


def _two_styles(styles: list[list[int]], rng: np.random.Generator) -> list[int]:
    """Choose drawings of two styles; of the only style twice."""
    chosen = rng.choice(len(styles), 2, replace=len(styles) < 2)
    return [int(rng.choice(styles[each])) for each in chosen]


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, subgroup: tuple[int, ...], together: bool) -> np.ndarray:
    """Order an epoch's concepts by chance; those of a subgroup may stand together."""
    rng = np.random.default_rng([seed, epoch, len(subgroup)])
    order = rng.permutation(len(subgroup))
    if not together:
        return order
    place = rng.permutation(max(subgroup) + 1)
    return order[np.argsort(place[np.array(subgroup)[order]], kind="stable")]


def emoji_loss(output: AlignOutput, temperature: Tensor, target: Target) -> Tensor:
    """Compute the loss of a batch: names, keywords, groups, and images of one concept.

    Each drawing has to find its name among the names of the batch, its group among the groups,
    and each shown name its drawings. Keywords are true of several images: the mean of the
    log-probabilities of all that are right counts. The drawings of one concept have to find each
    other. Images without an emoji are wrong for all of these.

    Raises:
        ValueError: an embedding is missing.
    """
    logits, images = output.logits_per_image, output.image_embeds
    if logits is None or images is None:
        raise ValueError("the loss needs both embeddings")
    drawings, further = len(target.name), target.fits.shape[1]
    name, keyword, group = logits.split(
        [logits.shape[1] - further - target.group.shape[1], further, target.group.shape[1]], dim=1
    )
    same = torch.zeros(drawings, len(images), dtype=torch.bool)
    same[:, :drawings] = target.name[:, None] == target.name
    to_name = F.cross_entropy(name[:drawings], target.name, label_smoothing=0.1)
    from_name = _several(name[:, target.name].t(), same)
    keywords = _several(keyword, target.fits) + _several(keyword.t(), target.fits.t())
    groups = _several(group[:drawings], target.group)
    others = ~torch.eye(drawings, len(images), dtype=torch.bool)
    likeness = (images[:drawings] @ images.t() / temperature.detach()).masked_fill(~others, -1e4)
    alike = _several(likeness, same & others)
    return to_name + 0.25 * from_name + 0.5 * keywords + 0.25 * groups + 0.5 * alike


def _several(logits: Tensor, right: Tensor) -> Tensor:
    """Compute the cross-entropy of rows with several right answers; rows with none are left out.

    Args:
        logits: [N, C].
        right: which answers are right, [N, C] bool.
    """
    counts = right.sum(dim=1)
    correct = (logits.log_softmax(dim=1) * right).sum(dim=1)[counts > 0]
    return -(correct / counts[counts > 0]).mean()


class EmojiTraining:
    """A training of align_emoji.

    Args:
        plan: the plan.
        out: the folder of the checkpoint.
        drawings: all drawings.
        resume: continue an interrupted training of the same plan.

    Raises:
        TrainingError: for the reasons of ``Trainer``.
    """

    def __init__(self, plan: Plan, out: Path, drawings: Drawings, *, resume: bool) -> None:
        known = [
            each
            for each, gone in zip(drawings.concepts, drawings.held_out, strict=True)
            if not gone
        ]
        tokens = train_vocabulary(known)
        config = build_config(len(tokens))
        self.transform = build_transform()
        self.tokenizer = make_tokenizer(tokens, config.text_config)
        self.batches = EmojiBatches(plan, drawings, self.tokenizer)
        torch.manual_seed(plan.seed)
        model = create_align(plan.start)[0] if plan.start else random_start(config, self.transform)
        self.trainer = plan.trainer(model, self.batches, emoji_loss, out, resume=resume)

    def finish(self) -> None:
        """Settle the statistics and write the checkpoint in the Hugging Face format, in halves."""
        settle_statistics(self.trainer.align, self.batches, self.batches.plan.steps)
        self.trainer.finish(self.transform, self.tokenizer)
        halve_weights(self.trainer.out)


def halve_weights(folder: Path) -> None:
    """Round a checkpoint's weights to half precision, and write them so: half the file.

    config.json still says float32: all readers compute in float32, with the rounded values.
    """
    path = folder / "model.safetensors"
    halves = {
        name: weight.half() if weight.is_floating_point() else weight
        for name, weight in load_file(path).items()
    }
    with replacing(path) as part:
        save_file(halves, part, metadata={"format": "pt"})
        shutil.copymode(path, part)
