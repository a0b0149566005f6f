"""What an ALIGN ``config.json`` says, checked field by field.

The defaults are those of transformers' ``AlignConfig``, ``AlignVisionConfig`` and
``AlignTextConfig``, which describe ``kakaobrain/align-base``: a field that a checkpoint
leaves out has the meaning that transformers gives it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, TypeVar

from align_zoo.errors import CheckpointError

__all__ = ["AlignConfig", "BlockSpec", "TextConfig", "VisionConfig"]

# HF's names (transformers.activations.ACT2FN) to timm's (timm.layers.create_act).
_ACTIVATIONS = {
    "swish": "silu",
    "silu": "silu",
    "relu": "relu",
    "relu6": "relu6",
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "mish": "mish",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
}


class BlockSpec(NamedTuple):
    """One MBConv block of the image tower, all of its numbers resolved."""

    stage: int
    index_in_stage: int
    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    expand_ratio: int
    squeeze_channels: int
    square_padding: bool
    """Padded by k // 2 on all sides (``depthwise_padding``) instead of ALIGN's fixed padding."""


@dataclass(frozen=True)
class VisionConfig:
    """The fields of transformers' ``AlignVisionConfig`` that shape the image tower."""

    num_channels: int = 3
    image_size: int | Sequence[int] = 600
    width_coefficient: float = 2.0
    depth_coefficient: float = 3.1
    depth_divisor: int = 8
    kernel_sizes: Sequence[int] = (3, 3, 5, 3, 5, 5, 3)
    in_channels: Sequence[int] = (32, 16, 24, 40, 80, 112, 192)
    out_channels: Sequence[int] = (16, 24, 40, 80, 112, 192, 320)
    depthwise_padding: Sequence[int] = ()
    strides: Sequence[int] = (1, 2, 2, 2, 1, 2, 1)
    num_block_repeats: Sequence[int] = (1, 2, 2, 3, 3, 4, 1)
    expand_ratios: Sequence[int] = (1, 6, 6, 6, 6, 6, 6)
    squeeze_expansion_ratio: float = 0.25
    hidden_act: str = "swish"
    hidden_dim: int = 2560
    pooling_type: str = "mean"
    batch_norm_eps: float = 0.001
    batch_norm_momentum: float = 0.99
    drop_connect_rate: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what the image tower cannot honour, by the field's name."""
        stages = len(self.in_channels)
        for name in (
            "kernel_sizes",
            "out_channels",
            "strides",
            "num_block_repeats",
            "expand_ratios",
        ):
            if len(getattr(self, name)) != stages:
                _refuse(f"vision_config.{name}", getattr(self, name), f"{stages} values, a stage")
        for kernel in self.kernel_sizes:
            if kernel % 2 == 0 or kernel < 1:
                _refuse("vision_config.kernel_sizes", self.kernel_sizes, "odd sizes")
        if not set(self.strides) <= {1, 2}:
            _refuse("vision_config.strides", self.strides, "strides of 1 and 2")
        if min(self.num_block_repeats) < 1 or self.depth_coefficient <= 0:
            _refuse("vision_config.num_block_repeats", self.num_block_repeats, "at least one each")
        if min(self.expand_ratios) < 1:
            _refuse("vision_config.expand_ratios", self.expand_ratios, "ratios of 1 and above")
        if self.hidden_act not in _ACTIVATIONS:
            _refuse("vision_config.hidden_act", self.hidden_act, f"one of {sorted(_ACTIVATIONS)}")
        if self.pooling_type not in ("mean", "max"):
            _refuse("vision_config.pooling_type", self.pooling_type, "'mean' or 'max'")
        for before, after in zip((32, *self.out_channels), self.in_channels, strict=False):
            if self.round_channels(before) != self.round_channels(after):
                _refuse("vision_config.in_channels", self.in_channels, "the stage before's output")

    def round_channels(self, channels: int) -> int:
        """Channels after the width coefficient (``round_filters`` of transformers' ALIGN)."""
        scaled, divisor = channels * self.width_coefficient, self.depth_divisor
        rounded = max(divisor, int(scaled + divisor / 2) // divisor * divisor)
        return int(rounded + divisor if rounded < 0.9 * scaled else rounded)

    @property
    def embedding_dim(self) -> int:
        """Width of the image embedding: the channels of the last stage."""
        return self.round_channels(self.out_channels[-1])

    @property
    def stem_channels(self) -> int:
        """Channels behind the stem; transformers fixes its base width at 32."""
        return self.round_channels(32)

    @property
    def activation(self) -> str:
        """``hidden_act`` by timm's name."""
        return _ACTIVATIONS[self.hidden_act]

    def blocks(self) -> Iterator[BlockSpec]:
        """Every block in the order of transformers' flat ``encoder.blocks`` list."""
        flat = 0
        for stage, repeats in enumerate(self.num_block_repeats):
            out = self.round_channels(self.out_channels[stage])
            for i in range(math.ceil(self.depth_coefficient * repeats)):
                channels = out if i else self.round_channels(self.in_channels[stage])
                yield BlockSpec(
                    stage=stage,
                    index_in_stage=i,
                    in_channels=channels,
                    out_channels=out,
                    kernel_size=self.kernel_sizes[stage],
                    stride=1 if i else self.strides[stage],
                    expand_ratio=self.expand_ratios[stage],
                    squeeze_channels=max(1, int(channels * self.squeeze_expansion_ratio)),
                    square_padding=flat in self.depthwise_padding,
                )
                flat += 1


@dataclass(frozen=True)
class TextConfig:
    """The fields of transformers' ``AlignTextConfig`` that shape the text tower (a BERT)."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0

    def __post_init__(self) -> None:
        """Refuse what BERT cannot be built from, by the field's name."""
        if self.hidden_size % self.num_attention_heads:
            what = f"a divisor of hidden_size {self.hidden_size}"
            _refuse("text_config.num_attention_heads", self.num_attention_heads, what)
        if self.hidden_act not in _ACTIVATIONS:
            _refuse("text_config.hidden_act", self.hidden_act, f"one of {sorted(_ACTIVATIONS)}")
        if not 0 <= self.pad_token_id < self.vocab_size:
            _refuse("text_config.pad_token_id", self.pad_token_id, "an id of the vocabulary")


@dataclass(frozen=True)
class AlignConfig:
    """A whole ALIGN checkpoint's shape: both towers, their common width, the temperature."""

    vision_config: VisionConfig = field(default_factory=VisionConfig)
    text_config: TextConfig = field(default_factory=TextConfig)
    projection_dim: int = 640
    temperature_init_value: float = 1.0

    def __post_init__(self) -> None:
        """Refuse towers that do not meet in one space."""
        width = self.vision_config.embedding_dim
        if width != self.projection_dim:
            what = f"the image tower's width, {width}"
            _refuse("projection_dim", self.projection_dim, what)

    @classmethod
    def from_dict(cls, config: Mapping[str, Any], *, source: str = "config.json") -> AlignConfig:
        """Read a parsed ``config.json``.

        Args:
            config: the file's content.
            source: what errors name as the place, usually the file's path.

        Raises:
            CheckpointError: it is no ALIGN config, or a field's value is not supported.
        """
        if config.get("model_type") != "align":
            found = config.get("model_type")
            raise CheckpointError(f"{source}: model_type is {found!r}, not 'align'")
        text = config.get("text_config") or {}
        if isinstance(text, Mapping):
            _refuse_other_berts(text, source)
        try:
            return cls(
                vision_config=_read(VisionConfig, config.get("vision_config"), "vision_config."),
                text_config=_read(TextConfig, text, "text_config."),
                **_known(cls, config, "", but=("vision_config", "text_config")),
            )
        except CheckpointError as error:
            raise CheckpointError(f"{source}: {error}") from None


_Config = TypeVar("_Config", VisionConfig, TextConfig)


def _read(kind: type[_Config], values: Any, prefix: str) -> _Config:
    if not isinstance(values, Mapping | None):
        _refuse(prefix.rstrip("."), values, "an object")
    return kind(**_known(kind, values or {}, prefix))


def _known(
    kind: type[Any], values: Mapping[str, Any], prefix: str, but: Sequence[str] = ()
) -> dict[str, Any]:
    """The values that are fields of ``kind``, each of its default's type."""
    known = {}
    for each in fields(kind):
        if each.name in but or values.get(each.name) is None:
            continue
        value = values[each.name]
        expected = _TYPES[str(each.type)]
        if isinstance(value, bool) or not isinstance(value, expected):
            _refuse(prefix + each.name, value, f"of type {each.type}")
        if isinstance(value, list | tuple):
            if not all(isinstance(v, int) and not isinstance(v, bool) for v in value):
                _refuse(prefix + each.name, value, "a list of whole numbers")
            value = tuple(value)
        known[each.name] = value
    return known


_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "Sequence[int]": (list, tuple),
    "int | Sequence[int]": (int, list, tuple),
}


def _refuse_other_berts(text: Mapping[str, Any], source: str) -> None:
    for name, supported in (
        ("position_embedding_type", "absolute"),
        ("is_decoder", False),
        ("add_cross_attention", False),
    ):
        if text.get(name, supported) != supported:
            raise CheckpointError(
                f"{source}: text_config.{name} is {text[name]!r}; supported is {supported!r}"
            )


def _refuse(name: str, value: object, supported: str) -> None:
    shown = list(value) if isinstance(value, tuple) else value
    raise CheckpointError(f"{name} is {shown!r}; supported: {supported}")
