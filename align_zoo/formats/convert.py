"""Converts a checkpoint between Hugging Face's ALIGN folder and timm's folders."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import timm

from align_zoo.checkpoint.fields import read_json
from align_zoo.checkpoint.folder import TIMM_FILE, Checkpoint
from align_zoo.checkpoint.paths import at_home
from align_zoo.errors import CheckpointError, InvalidInput
from align_zoo.formats.save import PART, save_hf, save_timm
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.inputs.tokenizer import AlignTokenizer
from align_zoo.towers.dual_encoder import Align
from align_zoo.towers.factory import create_align

__all__ = ["convert", "load_timm"]

_WRITERS = {"hf": save_hf, "timm": save_timm}


def convert(source: str | Path, target: str | Path, to: str) -> None:
    """Write the checkpoint ``source`` to the folder ``target`` in the format ``to``.

    Args:
        source: a checkpoint that ``create_align`` opens, or a folder that ``save_timm`` wrote.
        target: a folder that is empty or does not exist yet.
        to: "hf" for one folder that transformers opens, "timm" for ``image/`` and ``text/``,
            each for ``timm.create_model("local-dir:...")``. The source's own format is allowed,
            too: a pickle becomes safetensors.

    Raises:
        InvalidInput: there is no such format.
        CheckpointError: the source is damaged or incomplete, or the target is not empty.
    """
    if to not in _WRITERS:
        raise InvalidInput(f"there is no format {to!r}; there are {', '.join(_WRITERS)}")
    folder, target = at_home(source, CheckpointError), at_home(target, CheckpointError)
    _refuse_unless_empty(target)
    opened = load_timm(folder) if _is_timm(folder) else create_align(source)
    model, transform, tokenizer = opened
    _refuse_unless_empty(target)  # again: another process may have written meanwhile
    _WRITERS[to](model, target, transform=transform, tokenizer=tokenizer)


def _refuse_unless_empty(target: Path) -> None:
    """Refuse a folder with files, except the unfinished files of a killed process."""
    with _named(target):
        if not target.exists():
            return
        if target.is_dir() and all(path.name.startswith(PART) for path in target.iterdir()):
            return
    raise CheckpointError(f"{target} is not empty; name a new folder to write to")


def load_timm(folder: str | Path) -> tuple[Align, AlignTransform, AlignTokenizer]:
    """Load a folder of ``save_timm``: the model in eval mode, its transform and its tokenizer.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    folder = at_home(folder, CheckpointError)
    # read_transform would need a config.json, but each tower's folder has its own.
    file, options = Checkpoint(str(folder), folder).preprocessor
    transform = AlignTransform.from_dict(options, source=str(file))
    temperature: Any = read_json(folder / TIMM_FILE).get("temperature")
    if type(temperature) not in (int, float) or not 0 < temperature < math.inf:
        raise CheckpointError(
            f"{folder / TIMM_FILE}: temperature is {temperature!r}, not a number above 0"
        )
    image, text = (_load_tower(folder / name) for name in ("image", "text"))
    tokenizer = AlignTokenizer.from_folder(folder, text.config)
    return Align(image, text, temperature).eval(), transform, tokenizer


def _is_timm(folder: Path) -> bool:
    with _named(folder):
        return (folder / TIMM_FILE).is_file()


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Turn the system's errors about a folder into errors that name the folder."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be used: {error}") from error


def _load_tower(folder: Path) -> Any:
    kind = folder.name
    architecture = str(read_json(folder / "config.json").get("architecture"))
    if not (architecture.startswith("align_") and architecture.endswith(f"_{kind}")):
        raise CheckpointError(
            f"{folder / 'config.json'}: {architecture!r} is no {kind} tower of ALIGN"
        )
    try:
        return timm.create_model(f"local-dir:{folder}", pretrained=True)
    except Exception as error:  # timm raises errors of many kinds
        raise CheckpointError(f"{folder} cannot be read as a timm model: {error}") from error
