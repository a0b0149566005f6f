"""Saves a model to a folder in Hugging Face's ALIGN format, or to a timm folder for each tower."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import save_file

from align_zoo.checkpoint.config import AlignConfig
from align_zoo.checkpoint.folder import TIMM_FILE
from align_zoo.checkpoint.hf_names import image_table, text_table, to_hf
from align_zoo.checkpoint.paths import at_home
from align_zoo.errors import CheckpointError, InvalidInput
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.inputs.processor_options import PROCESSOR_TYPE
from align_zoo.inputs.tokenizer import AlignTokenizer
from align_zoo.towers.dual_encoder import Align
from align_zoo.towers.image_tower import AlignImage
from align_zoo.towers.neighbours import save_config_for_hf
from align_zoo.towers.text_tower import AlignText
from align_zoo.writing import alone_in, flush, flush_all

__all__ = ["PART", "hf_config", "save_hf", "save_timm"]

PART = ".part-"
"""The beginning of the names of folders that hold files until all files are written."""

# transformers' names of the poolings that timm calls avg and max.
_POOLING_TYPES = {"avg": "mean", "max": "max"}


def save_hf(
    model: Align,
    folder: str | Path,
    *,
    transform: AlignTransform | None = None,
    tokenizer: AlignTokenizer | None = None,
) -> None:
    """Write ``config.json`` and ``model.safetensors``, which transformers' AlignModel opens.

    With ``transform`` and ``tokenizer`` the folder is whole: AlignProcessor and
    ``create_align`` open it, too. Files of these names are replaced as a whole. BERT's pooler,
    which ALIGN never uses, is written as zeros: without a pooler transformers would warn of
    missing weights and make up random weights.

    Raises:
        CheckpointError: Hugging Face's format has no place for a tower's head, or the folder
            cannot be written.
        InvalidInput: ``model`` is a tower alone.
    """
    _check_both(model)
    config = _hf_config(model)
    weights = {
        **to_hf(model.image.state_dict(), image_table(model.image)),
        **to_hf(model.text.state_dict(), text_table()),
        "temperature": model.temperature.detach(),
    }
    hidden = config.text_config.hidden_size
    for name, shape in (("weight", (hidden, hidden)), ("bias", (hidden,))):
        zeros = model.temperature.detach().new_zeros(shape)
        weights[f"text_model.pooler.dense.{name}"] = zeros
    with _replacing(Path(folder), _other_processors(transform)) as part:
        config.save_pretrained(part)
        _save_weights(weights, part)
        _save_processor(part, transform, tokenizer)


def save_timm(
    model: Align,
    folder: str | Path,
    *,
    transform: AlignTransform | None = None,
    tokenizer: AlignTokenizer | None = None,
) -> None:
    """Write ``image/`` and ``text/``, each for ``timm.create_model("local-dir:...")``.

    Beside them ``align.json`` holds the temperature, and the transform's and the tokenizer's
    files are where an ALIGN folder has them.

    Raises:
        CheckpointError: the folder cannot be written.
        InvalidInput: ``model`` is a tower alone.
    """
    _check_both(model)
    with _replacing(Path(folder), _other_processors(transform)) as part:
        _save_image_tower(model.image, part / "image")
        _save_text_tower(model.text, part / "text")
        _write_json({"temperature": model.temperature.item()}, part / TIMM_FILE)
        _save_processor(part, transform, tokenizer)


def _check_both(model: Align) -> None:
    if not (hasattr(model, "image") and hasattr(model, "text")):
        raise InvalidInput(
            f"the model is {type(model).__name__}, not both towers as create_align gives them; "
            "an image tower alone is saved by timm.models.save_for_hf"
        )


def _save_image_tower(tower: AlignImage, folder: Path) -> None:
    """Save as timm's save_for_hf does, which fails on weights that are channels_last."""
    folder.mkdir()
    save_config_for_hf(tower, str(folder / "config.json"))
    _save_weights(tower.state_dict(), folder)


def _save_text_tower(tower: AlignText, folder: Path) -> None:
    """Save as timm's save_for_hf does, which needs the input size of an image."""
    folder.mkdir()
    cfg = tower.pretrained_cfg
    content = {
        "architecture": cfg["architecture"],
        "num_classes": tower.num_classes,
        "num_features": tower.num_features,
        "model_args": {**getattr(tower, "_model_args", {}), "num_classes": tower.num_classes},
        "pretrained_cfg": {"num_classes": tower.num_classes, "classifier": "head"},
    }
    _write_json(content, folder / "config.json")
    _save_weights(tower.state_dict(), folder)


def hf_config(config: AlignConfig, **others: Any) -> transformers.AlignConfig:
    """Convert a config to transformers', with further fields."""
    # JSON turns tuples into lists, which transformers' checks require.
    return transformers.AlignConfig(**json.loads(json.dumps(asdict(config))), **others)


def _hf_config(model: Align) -> transformers.AlignConfig:
    image, text = model.image, model.text
    if image.num_classes:
        raise CheckpointError(
            f"the image tower has a classifier of {image.num_classes} classes; Hugging Face's "
            "ALIGN format has no place for it. Remove it with model.image.reset_classifier(0)"
        )
    pooling = image.global_pool.pool_type
    if pooling not in _POOLING_TYPES:
        raise CheckpointError(
            f"the image tower's global_pool is {pooling!r}; Hugging Face's ALIGN format knows "
            f"{sorted(_POOLING_TYPES)}"
        )
    strides = [block.conv_dw.stride[0] for stage in image.blocks for block in stage]
    if strides != [block.stride for block in image.config.blocks()]:
        raise CheckpointError(
            "the image tower's strides are not its config's: it was built with an output_stride, "
            "which save_timm can write; Hugging Face's ALIGN format has no place for that"
        )
    if text.num_classes != image.num_features:
        raise CheckpointError(
            f"the text tower's head has {text.num_classes} outputs, the image embedding "
            f"{image.num_features}: they do not meet in one space"
        )
    config = AlignConfig(
        vision_config=replace(
            image.config,
            num_channels=image.in_chans,
            pooling_type=_POOLING_TYPES[pooling],
            batch_norm_eps=image.bn1.eps,
        ),
        text_config=text.config,
        projection_dim=text.num_classes,
        temperature_init_value=model.temperature.item(),
    )
    return hf_config(config, architectures=["AlignModel"], dtype=model.temperature.dtype)


def _save_weights(weights: dict[str, torch.Tensor], folder: Path) -> None:
    whole = {name: tensor.contiguous() for name, tensor in weights.items()}
    save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})
    # safetensors lets nobody but the owner read; a server may run as another user.
    shutil.copymode(folder / "config.json", folder / "model.safetensors")


def _save_processor(
    folder: Path, transform: AlignTransform | None, tokenizer: AlignTokenizer | None
) -> None:
    if transform is not None:
        # Not the name of a backend: older versions have no EfficientNetImageProcessorFast.
        options = {**transform.config, "image_processor_type": PROCESSOR_TYPE}
        _write_json(options, folder / "preprocessor_config.json")
    if tokenizer is not None:
        tokenizer.save(folder)


def _other_processors(transform: AlignTransform | None) -> list[str]:
    """List the files that readers would prefer to the new ``preprocessor_config.json``.

    No ``processor_config.json`` is written: transformers 4.41 to 4.55 open no AlignProcessor whose
    ``processor_config.json`` holds an image processor.
    """
    return [] if transform is None else ["processor_config.json"]


def _write_json(content: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@contextmanager
def _replacing(folder: Path, replaced: Sequence[str] = ()) -> Iterator[Path]:
    """Yield a folder to write to, and move its files to ``folder`` when all are written.

    Files named in ``replaced`` are deleted after that.
    """
    folder = at_home(folder, CheckpointError)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone_in(folder) as alone:
            for left in folder.glob(f"{PART}*") if alone else ():  # left by killed processes
                shutil.rmtree(left)
            with tempfile.TemporaryDirectory(dir=folder, prefix=PART) as name:
                yield (part := Path(name))
                flush_all(part)
                for file in sorted(part.rglob("*")):
                    target = folder / file.relative_to(part)
                    if file.is_dir():
                        target.mkdir(exist_ok=True)
                    else:
                        file.replace(target)
                for name in replaced:
                    (folder / name).unlink(missing_ok=True)
                flush(folder)
    except BlockingIOError:
        raise CheckpointError(f"{folder} is being written by another process") from None
    except Exception as error:
        # For a full disk, safetensors raises a class of its own, tokenizers a plain Exception.
        if not isinstance(error, OSError | SafetensorError) and type(error) is not Exception:
            raise
        raise CheckpointError(f"{folder} cannot be written: {error}") from error
