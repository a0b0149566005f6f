"""align_tiny's training as an object: one step at a time, saved and resumed between any two."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AlignModel, BertTokenizer

from align_zoo.tiny.architecture import build_model, save_image_processor
from align_zoo.tiny.evaluate import Checkpoint
from align_zoo.tiny.loss import caption_loss
from align_zoo.tiny.sampler import CAPTIONS_EACH, PicturePool, sample_batch
from align_zoo.tiny.vocabulary import save_tokenizer

STATE = "training.pt"


@dataclass(frozen=True)
class Plan:
    """Everything that decides the outcome of a training.

    Attributes:
        seed: Of the weights, the pictures, the batches and the captions.
        steps: Optimizer steps.
        batch: Pictures a step.
        unrelated: Captions a step that fit no picture.
        pictures: Drawn beforehand, a quarter of them easy to read.
        easy_until: The share of the steps after which no easy pictures are left.
        learning_rate: The highest, after the warm-up.
        weight_decay: Of the matrices and kernels.
        coldest: The temperature is learned, but not below this.
    """

    seed: int = 0
    steps: int = 3300
    batch: int = 64
    unrelated: int = 16
    pictures: int = 24_000
    easy_until: float = 0.35
    learning_rate: float = 5e-3
    weight_decay: float = 0.02
    coldest: float = 0.03

    @property
    def easy_pictures(self) -> int:
        """How many of the pictures are easy to read."""
        return self.pictures // 4


class Trainer:
    """A model on its way.

    All randomness of a step comes from the seed and the step's number, so the state to be
    saved is the weights, the optimizer's and the number alone.

    Args:
        plan: What to do.
        out: The folder that will hold the checkpoint.
        pool: Training's pictures, drawn from the same seed.
    """

    def __init__(self, plan: Plan, out: Path, pool: PicturePool) -> None:
        self.plan, self.out, self.pool, self.step = plan, out, pool, 0
        self.tokenizer: BertTokenizer = save_tokenizer(out)
        self.processor = save_image_processor(out)
        torch.manual_seed(plan.seed)
        self.model: AlignModel = build_model(len(self.tokenizer))
        weights = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim == 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": weights, "pace": 1.0, "weight_decay": plan.weight_decay},
                {"params": others, "pace": 1.0},
                {"params": [self.model.temperature], "pace": 0.1},
            ],
            betas=(0.9, 0.98),
            weight_decay=0.0,
            fused=True,
        )

    @property
    def checkpoint(self) -> Checkpoint:
        """The model as it is, in eval mode, for measuring."""
        return Checkpoint(self.model, self.processor, self.tokenizer)

    def learning_rate(self) -> float:
        """A warm-up, then half a cosine to zero."""
        warm_up = max(1, self.plan.steps // 20)
        if self.step < warm_up:
            return self.plan.learning_rate * (self.step + 1) / warm_up
        done = (self.step - warm_up) / max(1, self.plan.steps - warm_up)
        return self.plan.learning_rate * (1 + math.cos(math.pi * done)) / 2

    def train_step(self) -> float:
        """One step; returns the loss."""
        plan = self.plan
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate() * group["pace"]
        easy = max(0.0, 1 - self.step / (plan.easy_until * plan.steps))
        batch = sample_batch(self.pool, plan.seed, self.step, plan.batch, plan.unrelated, easy)
        self.model.train()
        tokens = self.tokenizer(batch.captions, padding=True, truncation=True, return_tensors="pt")
        pixels = torch.from_numpy(batch.pixels).contiguous(memory_format=torch.channels_last)
        images = self.model.get_image_features(pixels).pooler_output
        texts = self.model.get_text_features(**tokens).pooler_output
        cosine = F.normalize(images, dim=1) @ F.normalize(texts, dim=1).T
        similarity = cosine / self.model.temperature
        loss = caption_loss(similarity, torch.from_numpy(batch.rivals), CAPTIONS_EACH)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.temperature.clamp_(min=plan.coldest, max=1.0)
        self.step += 1
        return loss.item()

    @torch.no_grad()
    def settle_statistics(self, batches: int = 50) -> None:
        """Estimate BatchNorm's statistics anew for the final weights, over many batches."""
        plan = self.plan
        norms = [module for module in self.model.modules() if isinstance(module, nn.BatchNorm2d)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average
        self.model.train()
        for step in range(plan.steps, plan.steps + batches):
            batch = sample_batch(self.pool, plan.seed, step, plan.batch, 0)
            self.model.get_image_features(torch.from_numpy(batch.pixels))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    def save_state(self) -> None:
        """Write what resuming needs; the file is replaced only by a whole one."""
        state = {
            "plan": asdict(self.plan),
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        part = self.out / f"{STATE}.part"
        torch.save(state, part)
        part.replace(self.out / STATE)

    def load_state(self) -> None:
        """Go on from where ``save_state`` left off.

        Raises:
            FileNotFoundError: Nothing was saved in the folder.
            ValueError: The saved training follows another plan.
        """
        path = self.out / STATE
        if not path.exists():
            raise FileNotFoundError(f"nothing to resume: {path} does not exist")
        state: dict[str, Any] = torch.load(path, weights_only=True)
        if state["plan"] != asdict(self.plan):
            raise ValueError(
                f"{path} was begun with {state['plan']}, not {asdict(self.plan)}: "
                "give the same options, or train anew without --resume"
            )
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def finish(self) -> None:
        """Write the checkpoint in the Hugging Face format; the state is no longer needed."""
        self.settle_statistics()
        self.model.eval().save_pretrained(self.out)
        (self.out / STATE).unlink(missing_ok=True)
