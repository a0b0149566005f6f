"""Trains align_emoji from a seed: ``python -m align_zoo.emoji.train FOLDER``.

The drawings are fetched by npm and rendered once. ``--resume`` with the same options continues an
interrupted training. On the same machine and number of threads, the weights equal those of an
uninterrupted training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from torch.nn import functional as F

from align_zoo.emoji.architecture import IMAGE_SIZE
from align_zoo.emoji.augment import place_on_white
from align_zoo.emoji.drawings import Drawings, load_drawings
from align_zoo.emoji.packages import packages_folder
from align_zoo.emoji.trainer import EmojiTraining, Plan
from align_zoo.inputs.tokenizer import AlignTokenizer
from align_zoo.tiny.train import ends_in_words
from align_zoo.towers.dual_encoder import Align
from align_zoo.training.out_folder import training_alone
from align_zoo.training.trainer import Every

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Watch:
    """Measures a model in training on one style, never on the style of the evaluation.

    With the style left out of the training, this is the figure that a recipe is chosen by.
    """

    def __init__(self, style: str, drawings: Drawings, tokenizer: AlignTokenizer) -> None:
        known = torch.from_numpy(~drawings.held_out)
        rows = drawings.rows([style])
        self.concept = torch.from_numpy(drawings.concept[rows])
        self.others = ~known
        self.pixels = place_on_white(torch.from_numpy(drawings.pixels[rows]), IMAGE_SIZE)
        self.tokens = dict(tokenizer([each.name for each in drawings.concepts]))

    def measure(self, model: Align) -> dict[str, float | None]:
        """Measure how often an image's name is the first, or among the first five, 0 to 1."""
        texts = model.encode_text(self.tokens, normalize=True)
        images = torch.cat([model.encode_image(part) for part in self.pixels.split(256)])
        cosine = (F.normalize(images, dim=1) @ texts.t()).masked_fill(self.others, -1)
        found = cosine.topk(5).indices == self.concept[:, None]
        return {
            "name_first": found[:, 0].float().mean().item(),
            "name_in_five": found.any(dim=1).float().mean().item(),
        }


@app.command()
def train(
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    seed: Annotated[int, typer.Option(help="Decides everything random.")] = Plan.seed,
    steps: Annotated[int, typer.Option(help="Optimizer steps.")] = Plan.steps,
    concepts: Annotated[int, typer.Option(help="Concepts a step, two images each.")] = (
        Plan.concepts
    ),
    learning_rate: Annotated[float, typer.Option(help="The highest.")] = Plan.learning_rate,
    without: Annotated[list[str] | None, typer.Option(help="A style to leave out.")] = None,
    start: Annotated[str, typer.Option(help="A checkpoint to go on from.")] = Plan.start,
    watch: Annotated[str, typer.Option(help="The style to measure on meanwhile.")] = "noto",
    measure_every: Annotated[int, typer.Option(help="Steps between; 0 for the end only.")] = 250,
    save_every: Annotated[int, typer.Option(help="Steps between; 0 for the end only.")] = 200,
    stop_after: Annotated[int | None, typer.Option(help="Interrupt after this step.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    packages: Annotated[Path | None, typer.Option(help="The folder of npm packages.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that make batches ahead.")] = 1,
    resume: Annotated[bool, typer.Option(help="Continue an interrupted training.")] = False,
) -> None:
    """Train align_emoji and write it as a Hugging Face ALIGN folder."""
    torch.set_num_threads(threads)
    plan = Plan(
        seed=seed,
        steps=steps,
        concepts=concepts,
        learning_rate=learning_rate,
        without=tuple(without or ()),
        start=start,
    )
    with ends_in_words(), training_alone(out):
        drawings = load_drawings(packages or packages_folder())
        training = EmojiTraining(plan, out, drawings, resume=resume)
        watched = Watch(watch, drawings, training.tokenizer)
        every = Every(save=save_every, measure=measure_every)
        training.trainer.run(every, measure=watched.measure, workers=workers, until=stop_after)
        if training.trainer.step == steps:
            training.finish()


if __name__ == "__main__":
    app()
