"""``align-zoo finetune``: options in, exit code out. Nothing heavy is imported before it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from align_zoo.errors import AlignZooError, to_install
from align_zoo.training.errors import TrainingStopped

__all__ = ["finetune"]


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


def finetune(
    model: Annotated[str, typer.Option(help='A hub id, a folder, or "align_tiny".')],
    data: Annotated[
        str,
        typer.Option(help="A .csv (columns image, caption) or webdataset .tar shards."),
    ],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    revision: Annotated[
        Optional[str], typer.Option(help="Branch, tag or commit of a hub id.")
    ] = None,
    eval_data: Annotated[
        Optional[str], typer.Option(help="Held-out pairs: retrieval is measured on them.")
    ] = None,
    steps: Annotated[Optional[int], typer.Option(min=1, help="Optimizer steps.")] = None,
    epochs: Annotated[
        Optional[int], typer.Option(min=1, help="Instead of --steps; 1 by default.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="Pairs a process and step.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="The highest.")] = 1e-5,
    weight_decay: Annotated[float, typer.Option(help="Of matrices and kernels.")] = 0.01,
    warmup: Annotated[
        Optional[int], typer.Option(help="Steps; a twentieth of all by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides everything random.")] = 0,
    mixed_precision: Annotated[
        Optional[_Precision], typer.Option(help="ACCELERATE_MIXED_PRECISION by default.")
    ] = None,
    grad_checkpointing: Annotated[
        bool, typer.Option("--grad-checkpointing", help="Less memory, more time.")
    ] = False,
    batch_norm: Annotated[
        _BatchNorm, typer.Option(help="Normalise by the checkpoint's statistics, or the batch's.")
    ] = _BatchNorm.frozen,
    freeze: Annotated[_Freeze, typer.Option(help="A tower to leave as it is.")] = _Freeze.none,
    random_crop: Annotated[bool, typer.Option(help="Crop anywhere, not the centre.")] = True,
    workers: Annotated[int, typer.Option(min=0, help="Processes that decode pictures.")] = 2,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse what would be left out of the data.")
    ] = False,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between saved states.")] = 500,
    eval_every: Annotated[int, typer.Option(min=1, help="Steps between measurements.")] = 500,
    log_every: Annotated[int, typer.Option(min=1, help="Steps between lines of the log.")] = 10,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted training.")
    ] = False,
) -> None:
    """Continue the contrastive training of any ALIGN folder on captioned pictures."""
    with _one_line_errors():
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


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except TrainingStopped as stopped:
        _exit(str(stopped), stopped.exit_code)
    except AlignZooError as error:
        _exit(str(error), 1)
    except ModuleNotFoundError as error:
        _exit(f"training needs {error.name}: {to_install('.[train]')}", 1)


def _exit(message: str, code: int) -> None:
    typer.echo(f"align-zoo: {message}", err=True)
    raise typer.Exit(code) from None
