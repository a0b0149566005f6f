"""Train align_tiny again from a seed: ``python -m align_zoo.tiny.train --out FOLDER``.

An interrupted training goes on with ``--resume`` and the same options, and ends with the same
weights, on the same machine and number of threads, as one that was never interrupted.
"""

from __future__ import annotations

import time
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from align_zoo.tiny.concepts import COLOURS, HELD_OUT, SHAPES
from align_zoo.tiny.evaluate import (
    Checkpoint,
    accuracy,
    digit_examples,
    digit_labels,
    shape_examples,
    shape_labels,
)
from align_zoo.tiny.sampler import PicturePool, draw_pool
from align_zoo.tiny.trainer import Plan, Trainer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def fill_pool(plan: Plan, workers: int, progress: Progress) -> PicturePool:
    """Draw all of training's pictures."""
    drawn = draw_pool(plan.seed, plan.pictures, plan.easy_pictures, workers)
    tracked = list(progress.track(drawn, plan.pictures, description="drawing pictures"))
    pixels = np.stack([pixels for pixels, _ in tracked])
    return PicturePool(pixels, [meaning for _, meaning in tracked], plan.easy_pictures)


class Watch:
    """Measures a model on the way; its pictures are not those of the final evaluation."""

    def __init__(self, seed: int) -> None:
        self.shapes = shape_examples(HELD_OUT, each=25, seed=seed + 1_000)
        self.digits = digit_examples(each=1, seed=seed + 1_000)
        self.combinations = shape_labels(list(product(COLOURS, SHAPES)))
        self.start = time.monotonic()

    def line(self, checkpoint: Checkpoint) -> str:
        """Accuracies, temperature and time, in one line."""
        shapes = accuracy(checkpoint, self.shapes, self.combinations)
        digits = accuracy(checkpoint, self.digits, digit_labels())
        return (
            f"held-out combinations {shapes:.1%}, held-out digits {digits:.1%}, "
            f"temperature {checkpoint.model.temperature.item():.3f}, "
            f"{time.monotonic() - self.start:.0f} s"
        )


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    seed: Annotated[int, typer.Option(help="Decides everything random.")] = Plan.seed,
    steps: Annotated[int, typer.Option(help="Optimizer steps.")] = Plan.steps,
    batch: Annotated[int, typer.Option(help="Pictures a step.")] = Plan.batch,
    pictures: Annotated[int, typer.Option(help="Pictures drawn beforehand.")] = Plan.pictures,
    evaluate_every: Annotated[int, typer.Option(help="Steps between; 0 for never.")] = 250,
    save_every: Annotated[int, typer.Option(help="Steps between; 0 for the end only.")] = 100,
    stop_after: Annotated[int | None, typer.Option(help="Interrupt it at this step.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads, and drawing processes.")] = 2,
    resume: Annotated[bool, typer.Option(help="Go on with an interrupted training.")] = False,
) -> None:
    """Train align_tiny and write it as a Hugging Face ALIGN folder."""
    torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    plan = Plan(seed=seed, steps=steps, batch=batch, pictures=pictures)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), refresh_per_second=1) as progress:
        trainer = Trainer(plan, out, fill_pool(plan, threads, progress))
        if resume:
            trainer.load_state()
        watch = Watch(seed) if evaluate_every else None
        task = progress.add_task("training", total=steps, completed=trainer.step)
        while trainer.step < min(steps, stop_after or steps):
            loss = trainer.train_step()
            progress.update(task, completed=trainer.step, description=f"loss {loss:.3f}")
            if save_every and trainer.step % save_every == 0:
                trainer.save_state()
            if watch and trainer.step % evaluate_every == 0:
                progress.console.print(f"step {trainer.step}: {watch.line(trainer.checkpoint)}")
        if trainer.step < steps:
            trainer.save_state()
            progress.console.print(f"stopped at step {trainer.step}; --resume goes on")
            return
        trainer.finish()
        if watch:
            progress.console.print(f"finished: {watch.line(trainer.checkpoint)}")


if __name__ == "__main__":
    app()
