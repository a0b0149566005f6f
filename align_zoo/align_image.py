"""ALIGN's image tower: timm's EfficientNet with ALIGN's fixed padding and no head convolution.

The pooled channels of the last stage ARE the embedding (``AlignVisionModel`` in
transformers), so ``num_classes=0`` returns it, not yet normalised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
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
from align_zoo.errors import InvalidImage
from align_zoo.layers import CosineLinear, FixedPadConv2d
from align_zoo.preprocess import AlignTransform

__all__ = ["AlignImage", "align_base_image", "align_tiny_image"]


class AlignImage(EfficientNet):
    """timm's EfficientNet whose stride-2 convolutions pad as ALIGN does, at every size.

    Input ``[N, 3, H, W]``; output ``[N, D]``, the embedding before normalisation, or
    ``[N, num_classes]`` logits when a classifier was asked for.

    Args:
        config: the shape, from a checkpoint's ``vision_config``.
        cosine_classifier: classify by ``CosineLinear``, as ``bake_zero_shot`` makes it.
        **kwargs: timm's (num_classes, in_chans, drop_rate, drop_path_rate, global_pool ...).
    """

    def __init__(
        self, *, config: VisionConfig, cosine_classifier: bool = False, **kwargs: Any
    ) -> None:
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
        self.config = config
        if cosine_classifier and self.num_classes:
            self.classifier = CosineLinear(self.head_hidden_size, self.num_classes)

    # Here and not in forward, which torch.fx traces and TorchScript compiles.
    def __call__(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """``forward``, for pictures that fit.

        Raises:
            InvalidImage: ``x`` is not [N, in_chans, H, W].
        """
        self._check(x)
        return super().__call__(x, *args, **kwargs)

    @torch.jit.ignore
    def _check(self, x: torch.Tensor) -> None:
        if x.ndim != 4 or x.shape[1] != self.in_chans:
            raise InvalidImage(
                f"the image tensor is {list(x.shape)}, not [N, {self.in_chans}, H, W]"
            )

    def set_cosine_classifier(self, weight: torch.Tensor) -> None:
        """Classify by cosine: ``classifier`` becomes a ``CosineLinear`` with this weight.

        Args:
            weight: [C, head_hidden_size], a row a class.
        """
        classes, width = weight.shape
        if width != self.head_hidden_size:
            raise ValueError(
                f"the classifier's weight is {list(weight.shape)}, not [C, {self.head_hidden_size}]"
            )
        old = self.conv_stem.weight
        self.reset_classifier(classes)
        self.classifier = CosineLinear(width, classes, device=old.device, dtype=old.dtype)
        self.classifier.train(self.training)
        with torch.no_grad():
            self.classifier.weight.copy_(weight)
        # timm writes these to the folder that it saves, and builds the tower by them again.
        self._model_args = {**getattr(self, "_model_args", {}), "cosine_classifier": True}

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A fresh linear classifier, or none with 0."""
        super().reset_classifier(num_classes, global_pool)
        if "cosine_classifier" in getattr(self, "_model_args", {}):
            self._model_args = {**self._model_args, "cosine_classifier": False}

    @torch.jit.ignore
    def forward_hidden_states(
        self, x: torch.Tensor
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """The embedding or logits [N, D], and the maps behind the stem and behind every block.

        The maps are ``hidden_states`` of transformers' ``AlignVisionModel``.
        """
        self._check(x)
        x = self.bn1(self.conv_stem(x))
        states = [x]
        for stage in self.blocks:
            for block in stage:
                x = block(x)
                states.append(x)
        return self.forward_head(self.bn2(self.conv_head(x))), tuple(states)


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


def _create(
    variant: str,
    pretrained: bool,
    config: VisionConfig | Mapping[str, Any],
    **kwargs: Any,
) -> nn.Module:
    shape = config if isinstance(config, VisionConfig) else VisionConfig(**config)
    model: nn.Module = build_model_with_cfg(
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
    return model


def build_image_tower(config: VisionConfig, transform: AlignTransform | None = None) -> AlignImage:
    """An untrained tower of any ALIGN shape, as timm would have built it.

    Args:
        config: the shape.
        transform: what ``timm.data.resolve_model_data_config`` shall answer.
    """
    arguments = {"config": asdict(config), "in_chans": config.num_channels}
    data_config = _data_config(transform, config.num_channels) if transform else {}
    cfg = _cfg(architecture="align_base_image", **data_config)
    tower: AlignImage = align_base_image(pretrained_cfg=cfg, **arguments)
    # What timm.create_model records, so that timm can save the tower and build it again.
    tower._model_args = arguments
    return tower


def _data_config(transform: AlignTransform, channels: int) -> dict[str, Any]:
    """The transform in the words of a timm cfg, as far as timm has them."""
    config: dict[str, Any] = {"interpolation": transform.resample.name.lower()}
    if transform.input_size:
        config["input_size"] = (channels, *transform.input_size)
    if transform.input_size and transform.size:
        # timm resizes to floor(input / crop_pct); half a pixel keeps it from falling short.
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
        "align_tiny_image.shapes_digits": _cfg(
            file=str(EMBEDDED["align_tiny"] / "model.safetensors"),
            input_size=(3, 49, 49),
            pool_size=(3, 3),
            crop_pct=0.8445,  # timm resizes to floor(49 / 0.8445) = 58
        ),
    }
)


@register_model
def align_base_image(
    pretrained: bool = False, config: Mapping[str, Any] | None = None, **kwargs: Any
) -> nn.Module:
    """ALIGN-base's image tower, an EfficientNet-B7 at 289 x 289: [N, 3, H, W] -> [N, 640].

    ``config`` holds fields of ``vision_config`` for another shape.
    """
    return _create("align_base_image", pretrained, config or {}, **kwargs)


@register_model
def align_tiny_image(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """The embedded checkpoint's image tower: coloured shapes and handwritten digits."""
    config = open_checkpoint("align_tiny").config.vision_config
    return _create("align_tiny_image", pretrained, config, **kwargs)
