"""Translates Hugging Face's parameter names to ours and back, by tables.

A table maps the name of a module in ``transformers.AlignModel`` to the name of the same
module in a tower. What follows the module's name (``.weight``, ``.running_mean`` ...) is
common to both. Nothing here knows a file format or builds a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from align_zoo.errors import CheckpointError

__all__ = [
    "check_complete",
    "from_hf",
    "image_table",
    "replaced_heads",
    "text_table",
    "to_hf",
    "weights_source",
]

StateDict = dict[str, torch.Tensor]

_STEM = {
    "vision_model.embeddings.convolution": "conv_stem",
    "vision_model.embeddings.batchnorm": "bn1",
}
# timm's InvertedResidual: a block that expands.
_EXPANDING_BLOCK = {
    "expansion.expand_conv": "conv_pw",
    "expansion.expand_bn": "bn1",
    "depthwise_conv.depthwise_conv": "conv_dw",
    "depthwise_conv.depthwise_norm": "bn2",
    "squeeze_excite.reduce": "se.conv_reduce",
    "squeeze_excite.expand": "se.conv_expand",
    "projection.project_conv": "conv_pwl",
    "projection.project_bn": "bn3",
}
# timm's DepthwiseSeparableConv: a block with an expand ratio of 1.
_PLAIN_BLOCK = {
    "depthwise_conv.depthwise_conv": "conv_dw",
    "depthwise_conv.depthwise_norm": "bn1",
    "squeeze_excite.reduce": "se.conv_reduce",
    "squeeze_excite.expand": "se.conv_expand",
    "projection.project_conv": "conv_pw",
    "projection.project_bn": "bn2",
}
_TEXT = {
    "text_model.embeddings": "bert.embeddings",
    "text_model.encoder": "bert.encoder",
    "text_projection": "head",
}

_HF_PREFIXES = ("vision_model.", "text_model.", "text_projection.")
# Tensors of a checkpoint that no answer depends on: ALIGN never uses BERT's pooler, and the ids are
# constants that older versions of transformers saved.
_UNUSED = ("text_model.pooler.", "text_model.embeddings.position_ids")


def image_table(tower: nn.Module) -> dict[str, str]:
    """Make the table of the image tower's modules, from HF's names to timm's.

    HF numbers the blocks through, timm by stage. ``tower`` shows which blocks expand.
    """
    table = dict(_STEM)
    flat = 0
    stages = tower.get_submodule("blocks").named_children()
    for stage, blocks in stages:
        for index, block in blocks.named_children():
            names = _EXPANDING_BLOCK if hasattr(block, "conv_pwl") else _PLAIN_BLOCK
            for theirs, ours in names.items():
                table[f"vision_model.encoder.blocks.{flat}.{theirs}"] = (
                    f"blocks.{stage}.{index}.{ours}"
                )
            flat += 1
    return table


def text_table() -> dict[str, str]:
    """Make the table of the text tower's modules, from HF's names to ours."""
    return dict(_TEXT)


def from_hf(state_dict: Mapping[str, torch.Tensor], table: Mapping[str, str]) -> StateDict:
    """Rename the tensors of ``table`` to our names; already native keys pass unchanged.

    Keys of the other tower, the temperature and ALIGN's unused tensors are dropped. A key
    that belongs to this tower's part of the checkpoint but to no module of it keeps its name,
    so that ``check_complete`` can report it.
    """
    if not any(key.startswith(_HF_PREFIXES) for key in state_dict):
        return dict(state_dict)
    roots = {name.partition(".")[0] for name in table}
    renamed: StateDict = {}
    for key, tensor in state_dict.items():
        if key.partition(".")[0] in roots and not key.startswith(_UNUSED):
            renamed[_rename(key, table)] = tensor
    return renamed


def to_hf(state_dict: Mapping[str, torch.Tensor], table: Mapping[str, str]) -> StateDict:
    """Rename our tensors to HF's names, as the inverse of ``from_hf``.

    Raises:
        CheckpointError: a key that has no place in HF's format, a classifier for example.
    """
    inverse = {ours: theirs for theirs, ours in table.items()}
    renamed = {}
    for key, tensor in state_dict.items():
        name = _rename(key, inverse)
        if name == key:
            raise CheckpointError(f"{key} has no place in a Hugging Face ALIGN checkpoint")
        renamed[name] = tensor
    return renamed


def check_complete(
    state_dict: Mapping[str, torch.Tensor],
    model: nn.Module,
    *,
    source: str,
    free: Iterable[str] = (),
    any_shape: Iterable[str] = (),
) -> None:
    """Make sure that ``state_dict`` fills ``model`` exactly.

    Args:
        state_dict: tensors under our names.
        model: the tower that is about to be loaded.
        source: the checkpoint's name for the message.
        free: module names whose tensors may be absent, present or of another shape (a head).
        any_shape: module names whose tensors may have another shape (an adapted stem).

    Raises:
        CheckpointError: a key is missing, left over or of another shape; all are named.
    """
    want, names = model.state_dict(), _hf_names(model)
    free, any_shape = tuple(free), tuple(any_shape)

    def belongs(key: str, modules: tuple[str, ...]) -> bool:
        return key.rpartition(".")[0] in modules

    missing = [
        names(key)
        for key in want
        if key not in state_dict
        and not belongs(key, free)
        # A counter that no answer depends on; checkpoints converted from Keras may lack it.
        and not key.endswith("num_batches_tracked")
    ]
    extra = [names(k) for k in state_dict if k not in want and not belongs(k, free)]
    reshaped = [
        f"{names(k)} is {list(tensor.shape)}, not {list(want[k].shape)}"
        for k, tensor in state_dict.items()
        if k in want and tensor.shape != want[k].shape and not belongs(k, (*free, *any_shape))
    ]
    problems = []
    for what, keys in (("missing", missing), ("left over", extra), ("of another shape", reshaped)):
        if keys:
            more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
            problems.append(f"{what}: {', '.join(keys[:5])}{more}")
    if problems:
        raise CheckpointError(f"{source} does not fit this model; {'; '.join(problems)}")


def weights_source(model: nn.Module) -> str:
    """Name the source of ``model``'s weights in timm, for messages."""
    cfg = _pretrained_cfg(model)
    return str(cfg.get("file") or cfg.get("hf_hub_id") or cfg.get("url") or "the state dict")


def replaced_heads(model: nn.Module) -> tuple[str, ...]:
    """List modules that timm leaves untrained because ``num_classes`` is not the checkpoint's."""
    cfg = _pretrained_cfg(model)
    if cfg.get("num_classes") == getattr(model, "num_classes", None):
        return ()
    return (str(cfg.get("classifier")),)


def _pretrained_cfg(model: nn.Module) -> dict[str, Any]:
    return getattr(model, "pretrained_cfg", None) or {}


def _rename(key: str, table: Mapping[str, str]) -> str:
    head, rest = key, ""
    while head:
        if head in table:
            return table[head] + rest
        head, dot, tail = head.rpartition(".")
        rest = dot + tail + rest
    return key


def _hf_names(model: nn.Module) -> Any:
    """Return a function from our key to the checkpoint's, which the reader can look up."""
    table = image_table(model) if hasattr(model, "conv_stem") else text_table()
    inverse = {ours: theirs for theirs, ours in table.items()}
    return lambda key: _rename(key, inverse)
