"""Fine-tuning: from an ALIGN folder and captioned pictures to an ALIGN folder."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs

from align_zoo.factory import create_align
from align_zoo.runtime.torch_threads import set_torch_threads
from align_zoo.training.batches import PairBatches
from align_zoo.training.contrastive import ContrastiveLoss
from align_zoo.training.errors import TrainingError
from align_zoo.training.output import check_output
from align_zoo.training.pairs import Pairs, open_pairs
from align_zoo.training.recipe import BatchNorm, Freeze, Recipe
from align_zoo.training.retrieval import HeldOutPairs
from align_zoo.training.trainer import Every, Trainer

__all__ = ["FinetuneOptions", "finetune"]


@dataclass(frozen=True)
class FinetuneOptions:
    """What ``align-zoo finetune`` is told; docs/fine-tuning.md explains each.

    Attributes:
        model: a hub id, a folder or "align_tiny".
        data: a CSV or webdataset shards, see ``open_pairs``.
        out: the folder to write.
        eval_data: held-out pairs, measured on the way.
        steps: optimizer steps; without, as many as ``epochs`` take.
        epochs: passes over the data, 1 if ``steps`` is not given either.
        batch_size: pairs a process and step.
        warmup: steps; a twentieth of all by default.
        mixed_precision: "no", "bf16" or "fp16"; what Accelerate is configured for by default.
        grad_checkpointing: trade time for memory.
        random_crop: augment; otherwise the centre is cropped, as in inference.
        workers: processes that decode pictures, beside each training process.
        revision: branch, tag or commit of a hub id.
    """

    model: str
    data: str
    out: Path
    eval_data: str | None = None
    steps: int | None = None
    epochs: int | None = None
    batch_size: int = 32
    learning_rate: float = 1e-5
    weight_decay: float = 0.01
    warmup: int | None = None
    seed: int = 0
    mixed_precision: str | None = None
    grad_checkpointing: bool = False
    batch_norm: BatchNorm = "frozen"
    freeze: Freeze = "none"
    random_crop: bool = True
    workers: int = 2
    revision: str | None = None


def finetune(options: FinetuneOptions, every: Every, *, resume: bool = False) -> None:
    """Train, and write an ALIGN folder that transformers and ``create_align`` open.

    Raises:
        TrainingError: an option, the data or the output folder cannot be used.
        TrainingStopped: SIGINT or SIGTERM came; ``resume`` goes on.
        CheckpointError: the model cannot be opened, or the folder not be written.
    """
    try:
        _finetune(options, every, resume)
    except OSError as error:  # a full disk, a folder that may not be written: the file is named
        raise TrainingError(f"the training cannot go on: {error}") from error
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"the device has no room for --batch-size {options.batch_size}; choose a smaller one, "
            f"--grad-checkpointing or --mixed-precision bf16: {error}"
        ) from error


def _finetune(options: FinetuneOptions, every: Every, resume: bool) -> None:
    check_output(options.out, resume=resume)
    accelerator = _accelerator(options.mixed_precision)
    set_torch_threads()
    pairs = open_pairs(options.data)
    held_out = open_pairs(options.eval_data) if options.eval_data else None
    model, transform, tokenizer = create_align(options.model, revision=options.revision)
    batches = PairBatches(
        pairs,
        transform,
        tokenizer,
        seed=options.seed,
        batch_size=options.batch_size,
        process=accelerator.process_index,
        processes=accelerator.num_processes,
        random_crop=options.random_crop,
    )
    steps = _steps(options, batches.steps_per_epoch)
    recipe = Recipe(
        steps=steps,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        warmup=steps // 20 if options.warmup is None else options.warmup,
        seed=options.seed,
        batch_norm=options.batch_norm,
        freeze=options.freeze,
    )
    if options.grad_checkpointing:
        model.set_grad_checkpointing()
    trainer = Trainer(
        model,
        batches,
        ContrastiveLoss(options.batch_size),
        recipe,
        out=options.out,
        resume=resume,
        decides={
            "--model": options.model,
            "--revision": options.revision,
            "--data": _summary(pairs),
            "--batch-size": options.batch_size,
            "--random-crop": options.random_crop,
            "--mixed-precision": accelerator.mixed_precision,
        },
        accelerator=accelerator,
    )
    measure = None
    if held_out is not None:
        measure = HeldOutPairs(
            held_out,
            transform,
            tokenizer,
            batch_size=options.batch_size,
            workers=options.workers,
            on_broken=lambda broken: trainer.log.write(trainer.step, broken=broken),
        ).measure
    trainer.run(every, measure=measure, workers=options.workers)
    trainer.finish(transform, tokenizer)


def _accelerator(mixed_precision: str | None) -> Accelerator:
    # The first process measures alone while the others wait: longer than the default of
    # ten minutes, if there is much to be measured.
    patience = InitProcessGroupKwargs(timeout=timedelta(hours=2))
    try:
        accelerator = Accelerator(mixed_precision=mixed_precision, kwargs_handlers=[patience])
    except ValueError as error:
        raise TrainingError(f"--mixed-precision {mixed_precision}: {error}") from error
    if accelerator.mixed_precision == "fp16" and accelerator.device.type == "cpu":
        # Accelerate would train in float32 and say nothing.
        raise TrainingError("--mixed-precision fp16 needs a GPU; a CPU has bf16")
    return accelerator


def _steps(options: FinetuneOptions, steps_per_epoch: int) -> int:
    if options.steps is not None and options.epochs is not None:
        raise TrainingError("--steps and --epochs exclude each other")
    if options.steps is not None:
        return options.steps
    return (1 if options.epochs is None else options.epochs) * steps_per_epoch


def _summary(pairs: Pairs) -> str:
    return f"{len(pairs)} pairs with the fingerprint {pairs.fingerprint[:12]}"
