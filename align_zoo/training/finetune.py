"""Fine-tuning: from an ALIGN folder and captioned images to an ALIGN folder."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from align_zoo.checkpoint.paths import at_home
from align_zoo.progress import say
from align_zoo.runtime.machine import set_torch_threads
from align_zoo.towers.factory import create_align
from align_zoo.training.accelerator import open_accelerator
from align_zoo.training.batches import PairBatches
from align_zoo.training.contrastive import ContrastiveLoss
from align_zoo.training.csv_pairs import CsvPairs
from align_zoo.training.errors import TrainingError
from align_zoo.training.out_folder import check_output, training_alone
from align_zoo.training.pair import Pairs
from align_zoo.training.recipe import BatchNorm, Freeze, Recipe
from align_zoo.training.retrieval import HeldOutPairs
from align_zoo.training.trainer import Every, Trainer
from align_zoo.training.webdataset_pairs import WebdatasetPairs

__all__ = ["FinetuneOptions", "finetune", "open_pairs"]


@dataclass(frozen=True)
class FinetuneOptions:
    """The options of ``align-zoo finetune``; docs/fine-tuning.md explains each.

    ``FinetuneOptions(model="align_tiny", data="captions.csv", out=Path("finetuned"))``.

    Attributes:
        model: a hub id, a folder, "align_tiny" or "align_emoji".
        data: a CSV or webdataset shards, see ``open_pairs``.
        out: the folder to write.
        eval_data: held-out pairs, for retrieval during training.
        steps: optimizer steps; by default the steps of ``epochs``.
        epochs: passes over the data, 1 if ``steps`` is not given either.
        batch_size: pairs per process and step.
        warmup: steps of the warm-up; a twentieth of all steps by default.
        mixed_precision: "no", "bf16" or "fp16"; ACCELERATE_MIXED_PRECISION by default.
        grad_checkpointing: trade time for memory.
        random_crop: crop at random; otherwise the centre is cropped, as in inference.
        workers: processes that decode images, for each training process.
        revision: branch, tag or commit of a hub id.
        strict: refuse incomplete samples and broken images instead of leaving them out.
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
    strict: bool = False


def finetune(options: FinetuneOptions, every: Every, *, resume: bool = False) -> str:
    """Train, and write an ALIGN folder that transformers and ``create_align`` open.

    Returns:
        A summary in a few lines: the loss, the pairs left out, the folder, the next command.
        Empty in all processes but the first.

    Raises:
        TrainingError: an option, the data or the output folder cannot be used.
        TrainingStopped: SIGINT or SIGTERM came; ``resume`` continues the training.
        CheckpointError: the model cannot be opened, or the folder cannot be written.
    """
    try:
        with ExitStack() as held:
            return _finetune(options, every, resume, held)
    except OSError as error:  # a full disk, a folder that may not be written: the file is named
        raise TrainingError(f"the training cannot go on: {error}") from error
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"the device has no room for --batch-size {options.batch_size}; choose a smaller one, "
            f"--grad-checkpointing or --mixed-precision bf16: {error}"
        ) from error


def open_pairs(data: str | Path, *, strict: bool = False) -> Pairs:
    """Open the pairs of a CSV, or of webdataset shards.

    Args:
        data: a path that ends in ``.csv``; or a ``.tar``'s path, a glob (``shards/*.tar``) or
            a brace pattern (``shards/{000..127}.tar``).
        strict: refuse a shard's sample that lacks its image or caption, instead of leaving it
            out. Such a row of a CSV is always refused.

    Raises:
        TrainingError: the data does not exist or holds no pairs, or a pair lacks its image or
            caption.
    """
    name = str(data)
    if name.lower().endswith(".csv"):
        return CsvPairs(at_home(name, TrainingError))
    if name.lower().endswith(".tar"):
        return WebdatasetPairs(name, strict=strict)
    raise TrainingError(f"{name} is neither a .csv nor .tar shards")


def _finetune(options: FinetuneOptions, every: Every, resume: bool, held: ExitStack) -> str:
    check_output(options.out, resume=resume)
    accelerator = open_accelerator(options.mixed_precision)
    set_torch_threads()
    pairs = open_pairs(options.data, strict=options.strict)
    held_out = None
    if options.eval_data:
        held_out = open_pairs(options.eval_data, strict=options.strict)
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
        strict=options.strict,
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
    if accelerator.is_main_process:
        held.enter_context(training_alone(options.out))
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
            "--data": _identity(pairs),
            "--batch-size": options.batch_size,
            "--random-crop": options.random_crop,
            "--mixed-precision": accelerator.mixed_precision,
        },
        accelerator=accelerator,
    )
    if accelerator.is_main_process:
        for data, some in ((options.data, pairs), (options.eval_data, held_out)):
            if some is not None and str(some.left_out):
                say(_printable(f"{data}: left out {some.left_out}"))
                if trainer.step == 0:
                    trainer.log.write(0, left_out=_printable(str(some.left_out)), data=str(data))
    measure = None
    if held_out is not None:
        measure = HeldOutPairs(
            held_out,
            transform,
            tokenizer,
            batch_size=options.batch_size,
            workers=options.workers,
            strict=options.strict,
            on_broken=lambda broken: trainer.log.write(trainer.step, broken=broken),
        ).measure
    trainer.run(every, measure=measure, workers=options.workers)
    trainer.finish(transform, tokenizer)
    return _summary(options, trainer, pairs) if accelerator.is_main_process else ""


def _summary(options: FinetuneOptions, trainer: Trainer, pairs: Pairs) -> str:
    log = trainer.log.lines()
    losses = [line["loss"] for line in log if "loss" in line]
    broken = len({line["broken"] for line in log if "broken" in line})
    samples = pairs.left_out.samples.total()
    out = shlex.quote(str(options.out))
    lines = [f"trained {trainer.step:,} steps on {len(pairs):,} pairs"]
    if losses:  # the log may have been removed
        lines[0] += f": loss {losses[0]:.4f} at first, {losses[-1]:.4f} at last"
    if samples or broken:
        lines.append(
            f"left out: {samples:,} samples that are no pair, {broken:,} broken pairs; see "
            f"{trainer.log.path}"
        )
    lines.append(f"written to {options.out}")
    if options.eval_data and options.eval_data.lower().endswith(".csv"):
        lines.append(f"next: align-zoo evaluate {shlex.quote(options.eval_data)} --model {out}")
    else:
        lines.append(f"next: align-zoo serve --model {out}")
    return _printable("\n".join(lines))


def _printable(text: str) -> str:
    """Escape characters that UTF-8 cannot encode; a file's name may hold some."""
    return text.encode(errors="backslashreplace").decode()


def _steps(options: FinetuneOptions, steps_per_epoch: int) -> int:
    if options.steps is not None and options.epochs is not None:
        raise TrainingError("--steps and --epochs exclude each other")
    if options.steps is not None:
        return options.steps
    return (1 if options.epochs is None else options.epochs) * steps_per_epoch


def _identity(pairs: Pairs) -> str:
    return f"{len(pairs)} pairs with the fingerprint {pairs.fingerprint[:12]}"
