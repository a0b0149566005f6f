"""The recipe of a training: optimizer, schedule and frozen parts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from align_zoo.towers.dual_encoder import Align
from align_zoo.training.errors import TrainingError

__all__ = ["BatchNorm", "Freeze", "Recipe"]

BatchNorm = Literal["frozen", "train"]
Freeze = Literal["none", "image", "text"]


@dataclass(frozen=True)
class Recipe:
    """The options common to fine-tuning and align_tiny's training.

    ``Recipe(steps=500, learning_rate=1e-5, weight_decay=0.01, warmup=25, seed=0)``.

    Attributes:
        steps: optimizer steps.
        learning_rate: the highest learning rate, after the warm-up.
        weight_decay: the decay of matrices and kernels; biases, norms and the temperature have
            none.
        warmup: steps of a linear warm-up; then half a cosine leads to zero.
        seed: the seed of the batches and the dropout.
        batch_norm: "frozen" normalises with the checkpoint's statistics, as inference does;
            "train" normalises with the batch's statistics and updates the checkpoint's. The
            statistics of small batches are poor.
        freeze: the tower that is not trained.
        coldest: the lower limit of the learned temperature; a lower initial temperature is its
            own limit.
    """

    steps: int
    learning_rate: float
    weight_decay: float
    warmup: int
    seed: int
    batch_norm: BatchNorm = "frozen"
    freeze: Freeze = "none"
    coldest: float = 0.01

    def __post_init__(self) -> None:
        """Refuse impossible values by the option's name."""
        for name in ("steps", "learning_rate"):
            if not getattr(self, name) > 0:
                _refuse(name, getattr(self, name), "above 0")
        for name in ("weight_decay", "warmup", "seed"):
            if not getattr(self, name) >= 0:
                _refuse(name, getattr(self, name), "0 or above")
        for name, kind in (("batch_norm", BatchNorm), ("freeze", Freeze)):
            if getattr(self, name) not in get_args(kind):
                _refuse(name, getattr(self, name), " or ".join(get_args(kind)))

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step: a linear warm-up, then half a cosine to zero."""
        warmup = min(self.warmup, self.steps)
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        done = (step - warmup) / max(1, self.steps - warmup)
        return self.learning_rate * (1 + math.cos(math.pi * done)) / 2

    def optimizer(self, model: Align) -> torch.optim.AdamW:
        """Freeze the tower ``freeze``, and return AdamW over the other parameters.

        Each group's ``pace`` multiplies the learning rate.
        """
        if self.freeze != "none":
            model.get_submodule(self.freeze).requires_grad_(False)
        trained = [p for p in model.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {
                "params": [p for p in trained if p.ndim > 1],
                "pace": 1.0,
                "weight_decay": self.weight_decay,
            },
            {"params": [p for p in trained if p.ndim == 1], "pace": 1.0},
            # The temperature scales every logit: at full pace it changes faster than the weights.
            {"params": [model.temperature], "pace": 0.1},
        ]
        return torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0, fused=True)

    def set_modes(self, model: Align) -> None:
        """Set train mode, and eval mode for the frozen parts."""
        model.train()
        if self.freeze != "none":
            model.get_submodule(self.freeze).eval()
        if self.batch_norm == "frozen":
            for module in model.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()


def _refuse(name: str, value: object, supported: str) -> None:
    raise TrainingError(f"--{name.replace('_', '-')} is {value}; it must be {supported}")
