"""ALIGN's image tower: timm's EfficientNet with ALIGN's fixed padding and no head convolution.

The pooled channels of the last stage ARE the embedding (``AlignVisionModel`` in
transformers), so ``num_classes=0`` returns it, not yet normalised.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.efficientnet import EfficientNet
from torch import nn

from align_zoo.checkpoint import EMBEDDED, open_checkpoint
from align_zoo.config import VisionConfig
from align_zoo.convert import (
    StateDict,
    check_complete,
    from_hf,
    image_table,
    replaced_heads,
    weights_source,
)
from align_zoo.layers import FixedPadConv2d

__all__ = ["AlignImage", "align_base_image", "align_tiny_image"]


class AlignImage(EfficientNet):
    """timm's EfficientNet whose stride-2 convolutions pad as ALIGN does, at every size.

    Input ``[N, 3, H, W]``; output ``[N, D]``, the embedding before normalisation, or
    ``[N, num_classes]`` logits when a classifier was asked for.

    Args:
        config: the shape, from a checkpoint's ``vision_config``.
        **kwargs: timm's (num_classes, in_chans, drop_rate, drop_path_rate, global_pool ...).
    """

    def __init__(self, *, config: VisionConfig, **kwargs: Any) -> None:
        kwargs.setdefault("in_chans", config.num_channels)
        kwargs.setdefault("global_pool", _POOLS[config.pooling_type])
        super().__init__(
            block_args=_block_args(config),
            num_features=0,
            stem_size=config.stem_channels,
            fix_stem=True,
            # Channels are resolved already, ALIGN's divisor and rounding included.
            round_chs_fn=int,
            act_layer=config.activation,
            # HF's config spells Keras's decay (0.99); torch's momentum is its complement.
            norm_layer=partial(
                nn.BatchNorm2d, eps=config.batch_norm_eps, momentum=1 - config.batch_norm_momentum
            ),
            **kwargs,
        )
        _fix_padding(self, config)


_POOLS = {"mean": "avg", "max": "max"}


def _block_args(config: VisionConfig) -> list[list[dict[str, Any]]]:
    """timm's block definitions [stage][block], each with its own numbers."""
    stages: list[list[dict[str, Any]]] = [[] for _ in config.out_channels]
    for block in config.blocks():
        expands = block.expand_ratio != 1
        args = {
            "block_type": "ir" if expands else "ds",
            "out_chs": block.out_channels,
            "stride": block.stride,
            "act_layer": None,
            "dw_kernel_size": block.kernel_size,
            # A ratio of which timm's round() makes the very number HF's int() made.
            "se_ratio": block.squeeze_channels / block.in_channels,
            # HF never skips over the first block of a stage, not even where it could.
            "noskip": block.index_in_stage == 0,
        }
        if expands:
            args["exp_ratio"] = float(block.expand_ratio)
        stages[block.stage].append(args)
    return stages


def _fix_padding(tower: EfficientNet, config: VisionConfig) -> None:
    tower.conv_stem = FixedPadConv2d.like(tower.conv_stem)
    for spec in config.blocks():
        block = tower.blocks[spec.stage][spec.index_in_stage]
        # An output_stride below 32 turns a stride into a dilation: nothing to fix there.
        if block.conv_dw.stride == (2, 2) and not spec.square_padding:
            block.conv_dw = FixedPadConv2d.like(block.conv_dw)


def checkpoint_filter_fn(state_dict: dict[str, Any], model: nn.Module) -> StateDict:
    """Hugging Face's ALIGN weights, or already native ones, for ``model``.

    timm loads loosely as soon as ``num_classes`` differs, so completeness is checked here.

    Raises:
        CheckpointError: a weight is missing, left over or of another shape.
    """
    converted = from_hf(state_dict, image_table(model))
    check_complete(
        converted,
        model,
        source=weights_source(model),
        free=replaced_heads(model),
        any_shape=("conv_stem",),  # timm adapts it to other in_chans, after this
    )
    return converted


def _create(variant: str, pretrained: bool, config: VisionConfig, **kwargs: Any) -> nn.Module:
    model: nn.Module = build_model_with_cfg(
        AlignImage,
        variant,
        pretrained,
        config=config,
        pretrained_filter_fn=checkpoint_filter_fn,
        # One level behind the stem, one behind each stride.
        feature_cfg={
            "flatten_sequential": True,
            "out_indices": tuple(range(1 + list(config.strides).count(2))),
        },
        **kwargs,
    )
    return model


def build_image_tower(config: VisionConfig) -> AlignImage:
    """An untrained tower of any ALIGN shape, outside timm's registry."""
    return AlignImage(config=config, num_classes=0)


def _cfg(**kwargs: Any) -> dict[str, Any]:
    return {
        "num_classes": 0,
        "crop_mode": "squash",
        "interpolation": "bilinear",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "first_conv": "conv_stem",
        "classifier": "classifier",
        "paper_ids": "arXiv:2102.05918",
        "paper_name": "Scaling Up Visual and Vision-Language Representation Learning With "
        "Noisy Text Supervision",
        **kwargs,
    }


default_cfgs = generate_default_cfgs(
    {
        "align_base_image.kakao_coyo700m": _cfg(
            hf_hub_id="kakaobrain/align-base",
            input_size=(3, 289, 289),
            pool_size=(9, 9),
            crop_pct=0.835,  # timm resizes to floor(289 / 0.835) = 346
            origin_url="https://github.com/kakaobrain/coyo-align",
        ),
        "align_tiny_image.shapes_digits": _cfg(
            file=str(EMBEDDED["align_tiny"] / "model.safetensors"),
            input_size=(3, 49, 49),
            pool_size=(3, 3),
            crop_pct=0.8445,  # timm resizes to floor(49 / 0.8445) = 58
        ),
    }
)


@register_model
def align_base_image(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """ALIGN-base's image tower, an EfficientNet-B7 at 289 x 289: [N, 3, H, W] -> [N, 640]."""
    return _create("align_base_image", pretrained, VisionConfig(), **kwargs)


@register_model
def align_tiny_image(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """The embedded checkpoint's image tower: coloured shapes and handwritten digits."""
    config = open_checkpoint("align_tiny").config.vision_config
    return _create("align_tiny_image", pretrained, config, **kwargs)
