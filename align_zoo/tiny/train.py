"""Trains align_tiny again from a seed: ``python -m align_zoo.tiny.train --out FOLDER``.

``--resume`` with the same options continues an interrupted training. On the same machine and
number of threads, the weights equal those of an uninterrupted training.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import torch
import typer
from transformers.utils.logging import disable_progress_bar

from align_zoo.errors import AlignZooError
from align_zoo.formats.save import save_hf
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.inputs.tokenizer import AlignTokenizer
from align_zoo.progress import progress_bar
from align_zoo.tiny.concepts import COLOURS, HELD_OUT, SHAPES
from align_zoo.tiny.evaluate import (
    Checkpoint,
    accuracy,
    digit_examples,
    digit_labels,
    shape_examples,
    shape_labels,
)
from align_zoo.tiny.sampler import ImagePool, draw_pool
from align_zoo.tiny.trainer import Plan, TinyTraining
from align_zoo.towers.dual_encoder import Align
from align_zoo.training.errors import TrainingStopped
from align_zoo.training.out_folder import training_alone
from align_zoo.training.trainer import Every

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def fill_pool(plan: Plan, workers: int) -> ImagePool:
    """Draw all images of the training."""
    drawn = []
    with progress_bar("drawing images", plan.images) as advance:
        for each in draw_pool(plan.seed, plan.images, plan.easy_images, workers):
            drawn.append(each)
            advance(1)
    pixels = np.stack([pixels for pixels, _ in drawn])
    return ImagePool(pixels, [meaning for _, meaning in drawn], plan.easy_images)


class Watch:
    """Measures a model in training, on other images than those of the final evaluation."""

    def __init__(self, seed: int, transform: AlignTransform, tokenizer: AlignTokenizer) -> None:
        self.transform, self.tokenizer = transform, tokenizer
        self.shapes = shape_examples(HELD_OUT, each=25, seed=seed + 1_000)
        self.digits = digit_examples(each=1, seed=seed + 1_000)
        self.combinations = shape_labels(list(product(COLOURS, SHAPES)))

    def measure(self, model: Align) -> dict[str, float | None]:
        """Save the model to a folder, and measure the folder's accuracies, 0 to 1."""
        with TemporaryDirectory() as folder:
            save_hf(model, folder, transform=self.transform, tokenizer=self.tokenizer)
            checkpoint = Checkpoint.load(Path(folder))
        return {
            "held_out_combinations": accuracy(checkpoint, self.shapes, self.combinations),
            "held_out_digits": accuracy(checkpoint, self.digits, digit_labels()),
        }


@contextmanager
def ends_in_words() -> Iterator[None]:
    """End the command with a message and an exit code, where the training ends with an error."""
    try:
        yield
    except TrainingStopped as stopped:
        typer.echo(str(stopped), err=True)
        raise typer.Exit(stopped.exit_code) from None
    except AlignZooError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    seed: Annotated[int, typer.Option(help="Decides everything random.")] = Plan.seed,
    steps: Annotated[int, typer.Option(help="Optimizer steps.")] = Plan.steps,
    batch: Annotated[int, typer.Option(help="Images a step.")] = Plan.batch,
    images: Annotated[int, typer.Option(help="Images drawn beforehand.")] = Plan.images,
    evaluate_every: Annotated[int, typer.Option(help="Steps between; 0 for never.")] = 250,
    save_every: Annotated[int, typer.Option(help="Steps between; 0 for the end only.")] = 100,
    stop_after: Annotated[int | None, typer.Option(help="Interrupt after this step.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads, and drawing processes.")] = 2,
    resume: Annotated[bool, typer.Option(help="Continue an interrupted training.")] = False,
) -> None:
    """Train align_tiny and write it as a Hugging Face ALIGN folder."""
    torch.set_num_threads(threads)
    disable_progress_bar()  # of transformers, at every measurement
    plan = Plan(seed=seed, steps=steps, batch=batch, images=images)
    with ends_in_words(), training_alone(out):
        training = TinyTraining(plan, out, fill_pool(plan, threads), resume=resume)
        watch = Watch(seed, training.transform, training.tokenizer) if evaluate_every else None
        training.trainer.run(
            Every(save=save_every, measure=evaluate_every),
            measure=watch.measure if watch else None,
            until=stop_after,
        )
        if training.trainer.step == steps:
            training.finish()


if __name__ == "__main__":
    app()
