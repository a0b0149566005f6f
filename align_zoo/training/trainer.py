"""The training loop: one step at a time, saved and resumed between any two."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, send_to_device

from align_zoo.formats.save import save_hf
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.inputs.tokenizer import AlignTokenizer
from align_zoo.progress import progress_bar, say
from align_zoo.towers.dual_encoder import Align, AlignOutput
from align_zoo.training.batches import Batch, BatchSource
from align_zoo.training.errors import TrainingError, TrainingStopped
from align_zoo.training.interrupt import Interruptions
from align_zoo.training.loading import dead_workers_named, read_ahead
from align_zoo.training.log import TrainingLog
from align_zoo.training.out_folder import check_output, work_folder
from align_zoo.training.recipe import Recipe
from align_zoo.training.states import States

__all__ = ["Every", "Loss", "Trainer"]

Loss = Callable[[AlignOutput, torch.Tensor, Any], torch.Tensor]
"""The loss of the model's output, the temperature and the batch's ``target``."""
Measure = Callable[[Align], dict[str, float | None]]
"""A function that measures a model in eval mode; the log has the names of its measurements."""


@dataclass(frozen=True)
class Every:
    """Steps between two states, two lines of the log and two measurements; 0: only at the end."""

    save: int = 500
    log: int = 10
    measure: int = 500


class Trainer:
    """A model in training: ``run`` trains it, ``finish`` writes it.

    All randomness of a step comes from the seed, the step's number and the process's number, so
    a resumed training continues exactly like an uninterrupted one.

    Args:
        model: the model, trained in place.
        batches: this process's part of each step's batch.
        loss: the loss to minimise.
        recipe: the optimizer, the schedule and the frozen parts.
        out: the folder to write; ``training/`` in it holds states and the log.
        resume: continue from the newest state.
        decides: further options that determine the outcome, by name.
        accelerator: the processes and the precision.

    Raises:
        TrainingError: ``out`` holds other files, or there is nothing to resume, or the state has
            other options.
    """

    def __init__(
        self,
        model: Align,
        batches: BatchSource,
        loss: Loss,
        recipe: Recipe,
        *,
        out: Path,
        resume: bool,
        decides: dict[str, Any],
        accelerator: Accelerator,
    ) -> None:
        check_output(out, resume=resume)
        accelerator.wait_for_everyone()  # all processes check before any process writes
        self.align, self.batches, self.loss, self.recipe = model, batches, loss, recipe
        self.out, self.accelerator, self.step = out, accelerator, 0
        self.coldest = min(recipe.coldest, model.temperature.item())
        model.to(memory_format=torch.channels_last)  # faster convolutions
        self.model, self.optimizer = accelerator.prepare(model, recipe.optimizer(model))
        folder = work_folder(out)
        options = {f"--{name.replace('_', '-')}": value for name, value in asdict(recipe).items()}
        processes = {"number of processes": accelerator.num_processes}
        self.states = States(folder, {**options, **processes, **decides})
        if resume:
            self.step = self.states.load(accelerator)
        self.log = TrainingLog(folder / "log.jsonl" if accelerator.is_main_process else None)
        self.log.begin(self.step)

    def run(
        self,
        every: Every,
        *,
        measure: Measure | None = None,
        workers: int = 0,
        until: int | None = None,
    ) -> None:
        """Train to the recipe's last step, or ``until`` one before.

        Raises:
            TrainingStopped: SIGINT or SIGTERM came; the state is saved.
            TrainingError: the loss is not finite, a whole batch is broken, or a process that
                reads batches has died.
        """
        last = min(until or self.recipe.steps, self.recipe.steps)
        losses: list[float] = []
        broken: list[str] = []
        show = self.accelerator.is_main_process
        with (
            dead_workers_named(),
            Interruptions() as interruptions,
            progress_bar("training", self.recipe.steps, show=show) as advance,
        ):
            advance(self.step)
            # Also at the first step of a resumed training that was interrupted before measuring.
            if self.step == 0 or self._due(every.measure, last):
                self._measure(measure)
            for batch in self._batches(last, workers):
                losses.append(self._train_step(batch))
                broken += batch.broken
                self.step += 1
                advance(1)
                stopped_by = interruptions.anywhere(self.accelerator)
                saving = stopped_by or self._due(every.save, last)
                if saving or self._due(every.log, last):
                    self._log(losses, broken)
                    losses, broken = [], []
                if saving:
                    self.states.save(self.accelerator, self.step)
                if stopped_by:
                    raise TrainingStopped(stopped_by, self.step, self.recipe.steps)
                if self._due(every.measure, last):
                    self._measure(measure)

    def finish(self, transform: AlignTransform, tokenizer: AlignTokenizer) -> None:
        """Write the ALIGN folder and remove the states."""
        if self.accelerator.is_main_process:
            save_hf(self.align, self.out, transform=transform, tokenizer=tokenizer)
            self.states.remove()
        self.accelerator.wait_for_everyone()

    def _batches(self, last: int, workers: int) -> Iterator[Batch]:
        on_gpu = self.accelerator.device.type == "cuda"
        steps = range(self.step, last)
        return read_ahead(self.batches, steps, workers=workers, pin_memory=on_gpu)

    def _train_step(self, batch: Batch) -> float:
        recipe, accelerator = self.recipe, self.accelerator
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate_at(self.step) * group["pace"]
        recipe.set_modes(self.align)
        # The seed of the dropout, which differs between processes.
        key = [recipe.seed, self.step, accelerator.process_index]
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]))
        batch = send_to_device(batch, accelerator.device)
        pixels = batch.pixels.contiguous(memory_format=torch.channels_last)
        output = self.model(pixels, batch.tokens)
        loss = self.loss(output, self.align.temperature, batch.target)
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss of step {self.step + 1} is {value}; a smaller --learning-rate or a "
                "longer --warmup may help"
            )
        self.optimizer.zero_grad()
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(self.align.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.align.temperature.clamp_(min=self.coldest)
        return value

    def _due(self, every: int, last: int) -> bool:
        return self.step == last or (every > 0 and self.step % every == 0)

    def _log(self, losses: list[float], broken: list[str]) -> None:
        if self.accelerator.num_processes > 1:
            broken = gather_object(broken)
        for each in broken:
            self.log.write(self.step, broken=each)
        self.log.write(
            self.step,
            loss=sum(losses) / len(losses),
            learning_rate=self.recipe.learning_rate_at(self.step - 1),
            temperature=self.align.temperature.item(),
        )

    def _measure(self, measure: Measure | None) -> None:
        """Measure on the first process; the others wait at the next step."""
        if measure is None or not self.accelerator.is_main_process:
            return
        if self.step in self.log.measured:
            return
        self.align.eval()
        with torch.inference_mode():
            found = measure(self.align)
        self.log.measure(self.step, found)
        line = ", ".join(
            f"{name} {value:.1%}" for name, value in found.items() if value is not None
        )
        say(f"step {self.step}: {line}")
