"""The image tower in timm's registry: cfgs, the filter of weights, and entrypoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from timm.models import generate_default_cfgs, register_model
from torch import nn

from align_zoo.checkpoint.fields import changed
from align_zoo.checkpoint.folder import EMBEDDED, open_checkpoint
from align_zoo.checkpoint.hf_names import (
    StateDict,
    check_complete,
    from_hf,
    image_table,
    replaced_heads,
    weights_source,
)
from align_zoo.checkpoint.vision_config import VisionConfig
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.towers.building import build_tower

if TYPE_CHECKING:
    import torch

    from align_zoo.towers.image_tower import AlignImage

__all__ = ["align_base_image", "align_emoji_image", "align_tiny_image"]


def checkpoint_filter_fn(state_dict: dict[str, Any], model: nn.Module) -> StateDict:
    """Convert Hugging Face's ALIGN weights for ``model``; native weights stay as they are.

    timm accepts missing weights as soon as ``num_classes`` differs, so completeness is checked
    here.

    Raises:
        CheckpointError: a weight is missing, left over or of another shape.
    """
    converted = from_hf(state_dict, image_table(model))
    check_complete(
        converted,
        model,
        source=weights_source(model),
        free=replaced_heads(model),
        any_shape=("conv_stem",),  # timm adapts the stem to other in_chans later
    )
    return converted


def _create(
    variant: str,
    pretrained: bool,
    shape: VisionConfig,
    config: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> nn.Module:
    """Build a tower of ``shape``, with the fields of ``config`` in place of the shape's."""
    # Imported here, because the tower imports timm, which imports this module to register it.
    from align_zoo.towers.image_tower import AlignImage

    shape = changed(shape, config or {}, "vision_config.")
    return build_tower(
        AlignImage,
        variant,
        pretrained,
        config=shape,
        pretrained_filter_fn=checkpoint_filter_fn,
        # One level behind the stem, one behind each stride.
        feature_cfg={
            "flatten_sequential": True,
            "out_indices": tuple(range(1 + list(shape.strides).count(2))),
        },
        **kwargs,
    )


def build_image_tower(
    config: VisionConfig,
    transform: AlignTransform | None = None,
    *,
    dtype: torch.dtype | None = None,
) -> AlignImage:
    """Build an untrained tower of any ALIGN shape, as timm builds a registered shape.

    Args:
        config: the shape.
        transform: the transform that ``timm.data.resolve_model_data_config`` describes.
        dtype: the dtype of the parameters; torch's default by default.
    """
    arguments = {"config": asdict(config), "in_chans": config.num_channels}
    data_config = _data_config(transform, config.num_channels) if transform else {}
    cfg = _cfg(architecture="align_base_image", **data_config)
    tower: AlignImage = align_base_image(pretrained_cfg=cfg, dtype=dtype, **arguments)
    # timm.create_model records the same, so that timm can save the tower and build it again.
    tower._model_args = arguments
    return tower


def _data_config(transform: AlignTransform, channels: int) -> dict[str, Any]:
    """Describe the transform as a timm cfg, as far as timm has the options."""
    config: dict[str, Any] = {"interpolation": transform.resample.name.lower()}
    if transform.input_size:
        config["input_size"] = (channels, *transform.input_size)
    if transform.input_size and transform.size:
        # timm resizes to floor(input / crop_pct); half a pixel avoids a size that is one less.
        config["crop_pct"] = min(1.0, transform.input_size[0] / (transform.size[0] + 0.5))
    # pixel * scale + offset is (pixel / 255 - mean) / std
    std = [1 / (255 * scale) for scale in transform.scale]
    config["std"] = tuple(std)
    config["mean"] = tuple(-o * s for o, s in zip(transform.offset, std, strict=True))
    return config


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
        "align_emoji_image.emoji": _cfg(
            file=str(EMBEDDED["align_emoji"] / "model.safetensors"),
            input_size=(3, 57, 57),
            pool_size=(7, 7),
            crop_pct=0.975,  # timm resizes to floor(57 / 0.975) = 58
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
    """Build ALIGN-base's image tower, an EfficientNet-B7 at 289 x 289: [N, 3, H, W] -> [N, 640].

    The argument ``config`` has fields of ``vision_config`` for another shape.
    """
    return _create("align_base_image", pretrained, VisionConfig(), **kwargs)


@register_model
def align_tiny_image(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Build align_tiny's image tower: coloured shapes and handwritten digits."""
    shape = open_checkpoint("align_tiny").config.vision_config
    return _create("align_tiny_image", pretrained, shape, **kwargs)


@register_model
def align_emoji_image(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Build align_emoji's image tower: emoji and other small drawings."""
    shape = open_checkpoint("align_emoji").config.vision_config
    return _create("align_emoji_image", pretrained, shape, **kwargs)
