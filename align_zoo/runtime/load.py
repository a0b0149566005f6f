"""Chooses a runtime and loads a checkpoint into it."""

from __future__ import annotations

import ctypes
import logging
import re
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Integral
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from align_zoo.checkpoint.folder import Checkpoint, open_checkpoint
from align_zoo.errors import AlignZooError, CheckpointError, InvalidInput
from align_zoo.inputs.preprocess import AlignTransform, read_transform
from align_zoo.runtime.encoder import Encoder
from align_zoo.runtime.machine import cores
from align_zoo.runtime.onnx.export_once import (
    export_once,
    forget_refusals,
    not_installed,
    try_again,
)
from align_zoo.runtime.onnx.manifest import IMAGE, TEXT, TOKENIZER, export_folder, find_or_export
from align_zoo.runtime.texts import TextBatcher
from align_zoo.runtime.tokenizer_options import check_tokenizer
from align_zoo.runtime.tower import ImageTower, SlowPath, not_loaded

if TYPE_CHECKING:
    import torch

__all__ = ["DTYPES", "RUNTIMES", "export_checkpoint", "load_encoder"]

RUNTIMES = ("auto", "onnx", "torch")
TOWERS = ("image", "text")
DTYPES = ("auto", "float32", "bfloat16", "float16")
_DEVICES = re.compile(r"auto|cpu|cuda(:\d+)?")
_IN_TORCH = {"image": 1.8, "text": 1.7}
"""torch's time on a CPU divided by ONNX Runtime's: one image, eight labels of nine tokens."""
_AS_EXPORTED = 1.2
"""The time of the exported image tower divided by its time when laid out for the processor."""

_log = logging.getLogger(__name__)


def load_encoder(
    name_or_folder: str | Path,
    *,
    runtime: str = "auto",
    device: str | torch.device = "auto",
    dtype: str = "auto",
    threads: int | None = None,
    only: str | None = None,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
) -> Encoder:
    """Load both towers of a checkpoint in the fastest runtime for the machine.

    >>> encoder = align_zoo.load_encoder("align_tiny")
    >>> encoder.classify("red-star.png", ["a star", "a circle"])

    An encoder's threads do not outlive a fork, so a forked child would wait for them forever.
    Start processes by "spawn", or load the encoder in each process.

    Args:
        name_or_folder: a hub id, an ALIGN folder, "align_tiny" or "align_emoji".
        runtime: "onnx" (ONNX Runtime, on the CPU; the first load exports the checkpoint to the
            user's cache, later loads do not even import torch), "torch", or "auto": torch on a
            GPU, else onnx, and torch if the export fails.
        device: "cpu", "cuda", "cuda:1" ..., a ``torch.device``, or "auto": a GPU if torch can
            compute on one.
        dtype: the dtype to compute in, "float32", "bfloat16" or "float16" (the last two in torch
            alone; the answers are float32), or "auto": float32 on a CPU, bfloat16 on a GPU that
            has it, else float16.
        threads: CPU threads of a tower; by default one for each core that the process may use.
        only: "image" or "text" to load one tower alone.
        revision: branch, tag or commit of a hub id.
        cache_dir: the hub cache, instead of Hugging Face's default.

    Raises:
        InvalidInput: there is no such runtime, dtype, device or tower, or the runtime cannot run on
            that device or in that dtype, or ``threads`` is no whole number above 0.
        CheckpointError: the checkpoint cannot be found, is damaged, incomplete or not supported.
    """
    device = "cpu" if str(device).startswith("cpu:") else str(device)  # there is but one
    if runtime not in RUNTIMES:
        raise InvalidInput(f"there is no runtime {runtime!r}; there are {', '.join(RUNTIMES)}")
    if dtype not in DTYPES:
        raise InvalidInput(f"there is no dtype {dtype!r}; there are {', '.join(DTYPES)}")
    if not _DEVICES.fullmatch(device):
        raise InvalidInput(f"there is no device {device!r}; there are auto, cpu, cuda, cuda:1 ...")
    if threads is not None and (not isinstance(threads, Integral) or threads < 1):
        raise InvalidInput(f"threads is {threads!r}, not a whole number above 0")
    if only not in (None, *TOWERS):
        raise InvalidInput(f"there is no tower {only!r}; there are {', '.join(TOWERS)}")
    half = dtype in ("bfloat16", "float16")
    if runtime == "onnx" and half:
        raise InvalidInput(
            f"the runtime 'onnx' computes in float32, not in {dtype!r}; use runtime='torch'"
        )
    if runtime == "onnx" and device not in ("auto", "cpu"):
        raise InvalidInput(f"the runtime 'onnx' runs on the CPU, not on {device!r}; use 'torch'")
    if device == "auto":
        device = "cuda" if runtime != "onnx" and _has_gpu() else "cpu"
    checkpoint = _open(name_or_folder, revision, cache_dir)

    def in_torch(reason: str, slow_paths: Mapping[str, SlowPath] = MappingProxyType({})) -> Encoder:
        from align_zoo.runtime.torch.encoder import torch_encoder

        return torch_encoder(
            checkpoint,
            device=device,
            dtype=dtype,
            threads=threads,
            only=only,
            reason=reason,
            slow_paths=slow_paths,
        )

    def instead_of_onnx(reason: str) -> Encoder:
        return in_torch(reason, {tower: SlowPath(_IN_TORCH[tower]) for tower in TOWERS})

    if runtime == "torch":
        encoder = in_torch("asked for")
    elif runtime == "auto" and device != "cpu":
        encoder = in_torch("there is a GPU")
    elif half:
        encoder = in_torch(f"{dtype} was asked for")
    else:
        reason = "asked for" if runtime == "onnx" else "the fastest on a CPU"
        instead = instead_of_onnx if runtime == "auto" else None
        encoder = _onnx(checkpoint, threads, only, reason, instead)
    _log.info("%s runs in %s", checkpoint.name, encoder.explanation)
    return encoder


def export_checkpoint(
    name_or_folder: str | Path, *, revision: str | None = None, again: bool = False
) -> Path:
    """Export a checkpoint ahead of time, unless the user's cache has a whole export.

    Args:
        name_or_folder: a hub id, an ALIGN folder, "align_tiny" or "align_emoji".
        revision: branch, tag or commit of a hub id.
        again: whether to repeat an export or a layout that was refused or failed before.

    Returns:
        The folder in the cache; copy the folder into the cache of a container.

    Raises:
        InvalidInput: ONNX Runtime is not installed.
        CheckpointError: the checkpoint is damaged or not supported, the export differs from
            PyTorch or cannot be written, or the image tower cannot be laid out for this processor.
    """
    try:
        from align_zoo.runtime.onnx.image import layout_note, open_image
    except ImportError as error:
        raise InvalidInput(not_installed(error)) from error

    checkpoint = _open(name_or_folder, revision)
    folder = export_folder(checkpoint.fingerprint)
    if again:
        forget_refusals(folder, layout_note(folder))
    make = partial(export_once, checkpoint, folder)
    find_or_export(folder, (IMAGE, TEXT, TOKENIZER), make)
    _, why_not_laid_out = open_image(folder, None, make)
    if why_not_laid_out:
        raise CheckpointError(
            f"{folder} is whole and is used, but images take about {_AS_EXPORTED:g} times as "
            f"long as they could: {why_not_laid_out}; {try_again(checkpoint.name)}"
        )
    return folder


def _open(
    name_or_folder: str | Path, revision: str | None, cache_dir: str | Path | None = None
) -> Checkpoint:
    """Open a checkpoint, and refuse unsupported options in its small files.

    This check takes less than a second; loading and exporting may take a minute.
    """
    checkpoint = open_checkpoint(name_or_folder, revision=revision, cache_dir=cache_dir)
    check_tokenizer(checkpoint.folder)
    read_transform(checkpoint)  # for its errors
    return checkpoint


def _onnx(
    checkpoint: Checkpoint,
    threads: int | None,
    only: str | None,
    reason: str,
    instead: Callable[[str], Encoder] | None,
) -> Encoder:
    """Load in ONNX Runtime; if that is not possible, call ``instead`` with the reason."""
    try:
        from align_zoo.runtime.onnx.image import open_image
        from align_zoo.runtime.onnx.nchwc import images_at_once
        from align_zoo.runtime.onnx.sessions import (
            PADDING_A_CALL,
            TEXTS_AT_ONCE,
            FromSide,
            OnnxText,
        )
    except ImportError as error:
        if instead is None:
            raise InvalidInput(not_installed(error)) from error
        return instead(not_installed(error))

    try:
        folder = export_folder(checkpoint.fingerprint)
        make = partial(export_once, checkpoint, folder)
        manifest = find_or_export(folder, (TOKENIZER,), make)
    except AlignZooError as error:
        # A damaged checkpoint fails in torch, too, with an error of its own.
        if instead is None:
            raise
        return instead(f"the export failed: {error}")

    count = threads or cores()
    vision = checkpoint.config.vision_config

    slow_paths: dict[str, SlowPath] = {}

    def load_image() -> ImageTower:
        tower, why_not_laid_out = open_image(folder, count, make)
        if why_not_laid_out:
            slow_paths["image"] = SlowPath(_AS_EXPORTED, why_not_laid_out)
        return FromSide(vision.smallest_side, tower)

    def load_text() -> OnnxText:
        find_or_export(folder, (TEXT,), make)
        return OnnxText(folder / TEXT, count)

    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    return Encoder(
        load_image=load_image if only != "text" else not_loaded,
        load_text=load_text if only != "image" else not_loaded,
        transform=AlignTransform.from_dict(manifest.preprocessor, source=str(folder)),
        texts=TextBatcher(
            tokenizer,
            manifest.max_length,
            manifest.pad_token_id,
            at_once=TEXTS_AT_ONCE,
            padding_a_call=PADDING_A_CALL,
        ),
        temperature=manifest.temperature,
        fingerprint=manifest.fingerprint,
        images_at_once=images_at_once(count),
        vision=vision,
        runtime="onnx",
        reason=reason,
        threads=count,
        slow_paths=slow_paths,
    )


def _has_gpu() -> bool:
    """Return whether torch can compute on a GPU; import torch only if the driver sees a GPU."""
    if not _driver_sees_gpu():
        return False
    import torch

    return torch.cuda.is_available()


def _driver_sees_gpu() -> bool:
    try:
        driver, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(0)
    except OSError:
        return False
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 < count.value
