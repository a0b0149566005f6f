"""The text tower in timm's registry: cfgs, the filter of weights, and entrypoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from timm.models import generate_default_cfgs, register_model
from torch import nn

from align_zoo.checkpoint.config import TextConfig
from align_zoo.checkpoint.fields import changed
from align_zoo.checkpoint.folder import EMBEDDED, open_checkpoint
from align_zoo.checkpoint.hf_names import (
    StateDict,
    check_complete,
    from_hf,
    replaced_heads,
    text_table,
    weights_source,
)
from align_zoo.errors import InvalidInput
from align_zoo.towers.building import build_tower

if TYPE_CHECKING:
    import torch

    from align_zoo.towers.text_tower import AlignText

__all__ = ["align_base_text", "align_emoji_text", "align_tiny_text"]


def checkpoint_filter_fn(state_dict: Mapping[str, Any], model: nn.Module) -> StateDict:
    """Convert Hugging Face's ALIGN weights for ``model``; native weights stay as they are.

    Raises:
        CheckpointError: a weight is missing, left over or of another shape.
    """
    converted = from_hf(state_dict, text_table())
    check_complete(converted, model, source=weights_source(model), free=replaced_heads(model))
    return converted


def _create(
    variant: str,
    pretrained: bool,
    shape: TextConfig,
    config: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> nn.Module:
    """Build a tower of ``shape``, with the fields of ``config`` in place of the shape's.

    Raises:
        InvalidInput: ``features_only`` is asked for.
    """
    # Imported here, because the tower imports timm, which imports this module to register it.
    from align_zoo.towers.text_tower import AlignText

    if kwargs.get("features_only"):
        raise InvalidInput(
            "features_only is for maps of images; a text tower gives its layers' hidden states "
            "by forward_intermediates"
        )
    shape = changed(shape, config or {}, "text_config.")
    return build_tower(
        AlignText,
        variant,
        pretrained,
        config=shape,
        pretrained_filter_fn=checkpoint_filter_fn,
        # timm passes these to every model; a text tower has neither.
        kwargs_filter=("in_chans", "global_pool"),
        **kwargs,
    )


def build_text_tower(
    config: TextConfig, projection_dim: int, *, dtype: torch.dtype | None = None
) -> AlignText:
    """Build an untrained tower of any ALIGN shape, as timm builds a registered shape.

    Args:
        config: the shape.
        projection_dim: the width of the head.
        dtype: the dtype of the parameters; torch's default by default.
    """
    arguments = {"config": asdict(config), "num_classes": projection_dim}
    cfg = _cfg(architecture="align_base_text", num_classes=projection_dim)
    tower: AlignText = align_base_text(pretrained_cfg=cfg, dtype=dtype, **arguments)
    # timm.create_model records the same, so that the tower can be saved and built again.
    tower._model_args = arguments
    return tower


def _cfg(**kwargs: Any) -> dict[str, Any]:
    return {
        "input_size": None,
        "first_conv": None,
        "classifier": "head",
        "paper_ids": "arXiv:2102.05918",
        **kwargs,
    }


default_cfgs = generate_default_cfgs(
    {
        "align_base_text.kakao_coyo700m": _cfg(
            hf_hub_id="kakaobrain/align-base",
            num_classes=640,
            origin_url="https://github.com/kakaobrain/coyo-align",
        ),
        "align_emoji_text.emoji": _cfg(
            file=str(EMBEDDED["align_emoji"] / "model.safetensors"), num_classes=256
        ),
        "align_tiny_text.shapes_digits": _cfg(
            file=str(EMBEDDED["align_tiny"] / "model.safetensors"), num_classes=128
        ),
    }
)


@register_model
def align_base_text(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Build ALIGN-base's text tower, a BERT-base and its projection: ids [N, L] -> [N, 640].

    The argument ``config`` has fields of ``text_config`` for another shape.
    """
    return _create("align_base_text", pretrained, TextConfig(), **kwargs)


@register_model
def align_tiny_text(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Build align_tiny's text tower: colours, shapes and digits in English."""
    shape = open_checkpoint("align_tiny").config.text_config
    return _create("align_tiny_text", pretrained, shape, **kwargs)


@register_model
def align_emoji_text(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Build align_emoji's text tower: names and keywords of emoji in English."""
    shape = open_checkpoint("align_emoji").config.text_config
    return _create("align_emoji_text", pretrained, shape, **kwargs)
