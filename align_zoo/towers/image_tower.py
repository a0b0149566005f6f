"""ALIGN's image tower: timm's EfficientNet with ALIGN's fixed padding and no head convolution.

The pooled channels of the last stage are the embedding (``AlignVisionModel`` in transformers). So
``num_classes=0`` returns the embedding, not yet normalised.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from timm.models.efficientnet import EfficientNet, resolve_bn_args
from torch import nn

from align_zoo.checkpoint.vision_config import VisionConfig
from align_zoo.errors import InvalidImage
from align_zoo.towers.building import refuse_hf_names
from align_zoo.towers.layers import CosineLinear, FixedPadConv2d

__all__ = ["AlignImage"]


class AlignImage(EfficientNet):
    """timm's EfficientNet whose stride-2 convolutions pad as ALIGN does, at every size.

    >>> tower = timm.create_model("align_tiny_image", pretrained=True).eval()
    >>> tower(torch.zeros(1, 3, 49, 49)).shape
    torch.Size([1, 128])

    The input is ``[N, 3, H, W]``. The output is ``[N, D]``, the embedding before normalisation, or
    ``[N, num_classes]``, the logits of a classifier.

    Args:
        config: the shape, from a checkpoint's ``vision_config``.
        cosine_classifier: classify by ``CosineLinear``, as ``bake_zero_shot`` makes it.
        **kwargs: timm's arguments (num_classes, in_chans, drop_rate, drop_path_rate, global_pool,
            device, dtype ...).
    """

    def __init__(
        self, *, config: VisionConfig, cosine_classifier: bool = False, **kwargs: Any
    ) -> None:
        # HF's config has Keras's decay (0.99); torch's momentum is 1 - decay.
        norm: dict[str, Any] = {
            "eps": config.batch_norm_eps,
            "momentum": 1 - config.batch_norm_momentum,
        }
        norm |= resolve_bn_args(kwargs)  # timm's bn_eps and bn_momentum
        kwargs.setdefault("in_chans", config.num_channels)
        kwargs.setdefault("global_pool", _POOLS[config.pooling_type])
        super().__init__(
            block_args=_block_args(config),
            num_features=0,
            stem_size=config.stem_channels,
            fix_stem=True,
            # The channels are already rounded by ALIGN's divisor.
            round_chs_fn=int,
            act_layer=config.activation,
            norm_layer=partial(nn.BatchNorm2d, **norm),
            **kwargs,
        )
        _fix_padding(self, config)
        self.config = config
        if cosine_classifier and self.num_classes:
            where = {name: kwargs.get(name) for name in ("device", "dtype")}
            self.classifier = CosineLinear(self.head_hidden_size, self.num_classes, **where)

    # Here and not in forward, which torch.fx traces and TorchScript compiles.
    def __call__(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """Check the images, and call ``forward``.

        Raises:
            InvalidImage: ``x`` is not [N, in_chans, H, W], or its sides are too small.
        """
        self._check(x)
        return super().__call__(x, *args, **kwargs)

    @torch.jit.ignore
    def _check(self, x: torch.Tensor) -> None:
        if not isinstance(x, torch.Tensor):
            raise InvalidImage(f"the image is a {type(x).__name__}, not a tensor [N, C, H, W]")
        if x.ndim != 4 or x.shape[1] != self.in_chans:
            raise InvalidImage(
                f"the image tensor is {list(x.shape)}, not [N, {self.in_chans}, H, W]"
            )
        least = self.config.smallest_side
        if min(x.shape[-2:]) < least:
            raise InvalidImage(
                f"the image tensor is {list(x.shape)}; this tower takes sides of {least} and more"
            )

    def load_state_dict(self, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        """Load weights under timm's names, as torch does.

        Raises:
            CheckpointError: the names are Hugging Face's.
        """
        refuse_hf_names(state_dict)
        return super().load_state_dict(state_dict, *args, **kwargs)

    def set_cosine_classifier(self, weight: torch.Tensor) -> None:
        """Classify by cosine: ``classifier`` becomes a ``CosineLinear`` with this weight.

        Args:
            weight: [C, head_hidden_size], a row for each class.
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
        # timm saves these arguments with the weights, to build the tower again.
        self._model_args = {**getattr(self, "_model_args", {}), "cosine_classifier": True}

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Set a fresh linear classifier, or none with 0."""
        super().reset_classifier(num_classes, global_pool)
        if "cosine_classifier" in getattr(self, "_model_args", {}):
            self._model_args = {**self._model_args, "cosine_classifier": False}

    def prune_intermediate_layers(self, *args: Any, **kwargs: Any) -> list[int]:
        """Drop the stages behind the last wanted stage, and the head, as timm's models do."""
        take: list[int] = super().prune_intermediate_layers(*args, **kwargs)
        if len(self.blocks):  # the stem alone is no shape of ALIGN
            self.config = self.config.first_stages(len(self.blocks))
            # The arguments to build a saved tower again.
            self._model_args = {**getattr(self, "_model_args", {}), "config": asdict(self.config)}
        return take

    @torch.jit.ignore
    def feature_maps(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the last feature maps [N, D, h, w], whose means are the embeddings.

        Raises:
            InvalidImage: ``x`` is not [N, in_chans, H, W], or its sides are too small.
        """
        self._check(x)
        features: torch.Tensor = self.forward_features(x)
        return features

    @torch.jit.ignore
    def forward_hidden_states(
        self, x: torch.Tensor
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Compute the embedding or logits [N, D] and the maps behind the stem and every block.

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
    """Make timm's block definitions [stage][block], each with its own numbers."""
    stages: list[list[dict[str, Any]]] = [[] for _ in config.out_channels]
    for block in config.blocks():
        expands = block.expand_ratio != 1
        args = {
            "block_type": "ir" if expands else "ds",
            "out_chs": block.out_channels,
            "stride": block.stride,
            "act_layer": None,
            "dw_kernel_size": block.kernel_size,
            # From this ratio timm's round() makes the same number as HF's int().
            "se_ratio": block.squeeze_channels / block.in_channels,
            # HF has no skip connection over the first block of a stage, even of equal shapes.
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
        # An output_stride below 32 turns a stride into a dilation, which pads as timm does.
        if block.conv_dw.stride == (2, 2) and not spec.square_padding:
            block.conv_dw = FixedPadConv2d.like(block.conv_dw)
