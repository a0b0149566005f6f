"""The commands about the user's own data: ``evaluate`` and ``finetune``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from align_zoo.cli.shared import (
    CHECKPOINT,
    Revision,
    ServedModel,
    ServedRevision,
    needs,
    one_line_errors,
)
from align_zoo.serving.model.settings import DEFAULT_MODEL

__all__ = ["evaluate", "finetune"]


@one_line_errors()
def evaluate(
    data: Annotated[
        Path,
        typer.Argument(
            help="Images in one folder per class, or captions: a .csv file, "
            "or a .json file in COCO's format."
        ),
    ],
    model: ServedModel = DEFAULT_MODEL,
    revision: ServedRevision = None,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="Folder for report.json, confusion.png and the embeddings."
        ),
    ] = Path("evaluation"),
    templates: Annotated[
        Optional[str],
        typer.Option(
            metavar="TEMPLATES",
            help="Prompt templates: none, photo (default), imagenet, or a text with {} "
            "in the place of the label.",
        ),
    ] = None,
    classnames: Annotated[
        Optional[Path],
        typer.Option(metavar="FILE", help='JSON file: {"folder": "class name"}.'),
    ] = None,
    images: Annotated[
        Optional[Path], typer.Option(metavar="FOLDER", help="Folder of the captioned images.")
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="cpu, cuda, cuda:1, and so on.")
    ] = "cpu",
    batch_size: Annotated[
        int, typer.Option(min=1, metavar="ITEMS", help="Images, or texts, per batch.")
    ] = 32,
) -> None:
    """Measure zero-shot accuracy or retrieval on your images.

    The same command continues an interrupted evaluation.
    """
    from align_zoo.evaluation.report import summary
    from align_zoo.evaluation.run import EvaluateOptions
    from align_zoo.evaluation.run import evaluate as run
    from align_zoo.progress import say

    options = EvaluateOptions(
        data=data,
        model=model,
        revision=revision,
        out=out,
        templates=templates,
        classnames=classnames,
        images=images,
        device=device,
        batch_size=batch_size,
        progress=True,
    )
    report = f"{summary(run(options))}\nwritten to {out}"
    # A folder's name need not be UTF-8.
    say(report.encode(errors="backslashreplace").decode())


class _Precision(str, Enum):
    no = "no"
    bf16 = "bf16"
    fp16 = "fp16"


class _BatchNorm(str, Enum):
    frozen = "frozen"
    train = "train"


class _Freeze(str, Enum):
    none = "none"
    image = "image"
    text = "text"


@one_line_errors()
def finetune(
    model: Annotated[str, typer.Option(metavar="CHECKPOINT", help=CHECKPOINT)],
    data: Annotated[
        str,
        typer.Option(
            metavar="FILES", help="A .csv file (columns image, caption) or webdataset .tar shards."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to write.")],
    revision: Revision = None,
    eval_data: Annotated[
        Optional[str], typer.Option(metavar="FILES", help="Held-out pairs for measuring retrieval.")
    ] = None,
    steps: Annotated[
        Optional[int], typer.Option(min=1, metavar="STEPS", help="Optimizer steps.")
    ] = None,
    epochs: Annotated[
        Optional[int],
        typer.Option(
            min=1, metavar="EPOCHS", help="Passes over the data, instead of --steps; 1 by default."
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=2, metavar="PAIRS", help="Pairs per process and step.")
    ] = 32,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-5,
    weight_decay: Annotated[
        float, typer.Option(help="AdamW's weight decay of matrices and kernels.")
    ] = 0.01,
    warmup: Annotated[
        Optional[int],
        typer.Option(
            metavar="STEPS", help="Warm-up steps. The default is a twentieth of all steps."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    mixed_precision: Annotated[
        Optional[_Precision],
        typer.Option(help="Mixed precision. The default is taken from ACCELERATE_MIXED_PRECISION."),
    ] = None,
    grad_checkpointing: Annotated[
        bool, typer.Option("--grad-checkpointing", help="Use less memory and more time.")
    ] = False,
    batch_norm: Annotated[
        _BatchNorm,
        typer.Option(help="Normalise by statistics of the checkpoint (frozen) or batch (train)."),
    ] = _BatchNorm.frozen,
    freeze: Annotated[_Freeze, typer.Option(help="Tower to leave unchanged.")] = _Freeze.none,
    random_crop: Annotated[
        bool, typer.Option(help="Crop at a random place, or at the centre.")
    ] = True,
    workers: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="PROCESSES",
            help="Processes that decode images, beside each training process.",
        ),
    ] = 2,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Refuse broken images and incomplete pairs instead of skipping them."
        ),
    ] = False,
    save_every: Annotated[
        int, typer.Option(min=1, metavar="STEPS", help="Steps between saved states.")
    ] = 500,
    eval_every: Annotated[
        int, typer.Option(min=1, metavar="STEPS", help="Steps between measurements of retrieval.")
    ] = 500,
    log_every: Annotated[
        int, typer.Option(min=1, metavar="STEPS", help="Steps between lines of the log.")
    ] = 10,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted training.")
    ] = False,
) -> None:
    """Continue the contrastive training of an ALIGN checkpoint on captioned images."""
    # The whole run: training imports a package when the data or an option calls for the package.
    with needs("training", extra=".[train]", missing=ModuleNotFoundError):
        from align_zoo.progress import say
        from align_zoo.training.finetune import FinetuneOptions
        from align_zoo.training.finetune import finetune as run
        from align_zoo.training.trainer import Every

        options = FinetuneOptions(
            model=model,
            revision=revision,
            data=data,
            out=out,
            eval_data=eval_data,
            steps=steps,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            warmup=warmup,
            seed=seed,
            mixed_precision=None if mixed_precision is None else mixed_precision.value,
            grad_checkpointing=grad_checkpointing,
            batch_norm=batch_norm.value,
            freeze=freeze.value,
            random_crop=random_crop,
            workers=workers,
            strict=strict,
        )
        every = Every(save=save_every, log=log_every, measure=eval_every)
        if summary := run(options, every, resume=resume):
            say(summary)
