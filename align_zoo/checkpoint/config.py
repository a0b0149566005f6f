"""Reads an ALIGN ``config.json``, and checks each field.

The defaults are those of transformers' ``AlignConfig``, ``AlignVisionConfig`` and
``AlignTextConfig``, which describe ``kakaobrain/align-base``. So a field that a checkpoint leaves
out has the same value as in transformers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from align_zoo.checkpoint.fields import check_ranges, read, refuse, within
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
# The fields of the image tower with a value for each stage.
_BY_STAGE = (
    "kernel_sizes",
    "in_channels",
    "out_channels",
    "strides",
    "num_block_repeats",
    "expand_ratios",
)
# Far beyond the paper's largest ALIGN (820 million). A slip in a config.json must not take the
# machine's memory.
_MOST_PARAMETERS = 4_000_000_000
_MOST_BLOCKS = 1_000
_WIDEST = 1 << 16


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
    """Whether the block pads k // 2 on all sides (``depthwise_padding``), not as ALIGN does."""


@dataclass(frozen=True)
class VisionConfig:
    """The fields of transformers' ``AlignVisionConfig`` that shape the image tower."""

    num_channels: int = within(3, 1, 1_000)
    image_size: int | Sequence[int] = within(600, 1, _WIDEST)
    width_coefficient: float = within(2.0, 0.001, 1_000)
    depth_coefficient: float = within(3.1, 0.001, _MOST_BLOCKS)
    depth_divisor: int = within(8, 1, _WIDEST)
    kernel_sizes: Sequence[int] = within((3, 3, 5, 3, 5, 5, 3), 1, 99)
    in_channels: Sequence[int] = within((32, 16, 24, 40, 80, 112, 192), 1, _WIDEST)
    out_channels: Sequence[int] = within((16, 24, 40, 80, 112, 192, 320), 1, _WIDEST)
    depthwise_padding: Sequence[int] = within((), 0, _MOST_BLOCKS)
    strides: Sequence[int] = within((1, 2, 2, 2, 1, 2, 1), 1, 2)
    num_block_repeats: Sequence[int] = within((1, 2, 2, 3, 3, 4, 1), 1, _MOST_BLOCKS)
    expand_ratios: Sequence[int] = within((1, 6, 6, 6, 6, 6, 6), 1, 100)
    squeeze_expansion_ratio: float = within(0.25, 0, 100)
    hidden_act: str = "swish"
    hidden_dim: int = within(2560, 1, 1 << 32)
    pooling_type: str = "mean"
    batch_norm_eps: float = within(0.001, 1e-30, 10)
    batch_norm_momentum: float = within(0.99, 0, 1)
    drop_connect_rate: float = within(0.2, 0, 1)

    def __post_init__(self) -> None:
        """Refuse values that the image tower does not support, by the field's name."""
        prefix = "vision_config."
        check_ranges(self, prefix)
        stages = len(self.in_channels)
        if not stages:
            refuse(prefix + "in_channels", self.in_channels, "at least one stage")
        for name in _BY_STAGE:
            if len(getattr(self, name)) != stages:
                refuse(prefix + name, getattr(self, name), f"{stages} values, a stage")
        if not all(kernel % 2 for kernel in self.kernel_sizes):
            refuse(prefix + "kernel_sizes", self.kernel_sizes, "odd sizes")
        if self.hidden_act not in _ACTIVATIONS:
            refuse(prefix + "hidden_act", self.hidden_act, f"one of {sorted(_ACTIVATIONS)}")
        if self.pooling_type not in ("mean", "max"):
            refuse(prefix + "pooling_type", self.pooling_type, "'mean' or 'max'")
        for before, after in zip((32, *self.out_channels), self.in_channels, strict=False):
            if self.round_channels(before) != self.round_channels(after):
                refuse(prefix + "in_channels", self.in_channels, "the stage before's output")
        if sum(map(self._repeats, range(stages))) > _MOST_BLOCKS:
            what = f"at most {_MOST_BLOCKS:,} blocks after depth_coefficient"
            refuse(prefix + "num_block_repeats", self.num_block_repeats, what)
        self._check_blocks(prefix)

    def _check_blocks(self, prefix: str) -> None:
        sides = self.image_size if isinstance(self.image_size, Sequence) else [self.image_size]
        if len(sides) not in (1, 2):
            refuse(prefix + "image_size", self.image_size, "a side, or a height and a width")
        parameters = 0
        for block in self.blocks():
            expanded = block.in_channels * block.expand_ratio
            if block.expand_ratio > 1 and expanded % 8:
                what = "ratios whose expanded channels are multiples of 8, as timm makes them"
                refuse(prefix + "expand_ratios", self.expand_ratios, what)
            parameters += expanded * (
                block.in_channels
                + block.out_channels
                + block.kernel_size**2
                + 2 * block.squeeze_channels
            )
        if parameters > _MOST_PARAMETERS:
            what = f"with the other fields it makes {parameters:.1e} parameters, too many"
            refuse(prefix + "width_coefficient", self.width_coefficient, what)

    def check_input_size(self, size: tuple[int, int]) -> None:
        """Refuse image sizes that this tower, or transformers' tower, cannot take.

        ``image_size`` does not say the size: transformers' configs leave it at 600 for any
        preprocessor.

        Args:
            size: the height and width of the preprocessor's output.

        Raises:
            CheckpointError: the sides are too small for the strides, or too large for
                ``hidden_dim``.
        """
        if min(size) < self.smallest_side:
            what = f"sides of at least {self.smallest_side}, which the tower's strides halve"
            refuse("the preprocessor's size", list(size), what)
        side = max(size) // 2
        for block in self.blocks():
            if block.stride == 2:
                side = (side + block.square_padding) // 2
        # transformers pools windows of this size, and fails for more than one window.
        if side > self.hidden_dim:
            what = (
                f"at least {side}, the side of the last feature map of images of "
                f"{size[0]} x {size[1]}, which the preprocessor gives"
            )
            refuse("vision_config.hidden_dim", self.hidden_dim, what)

    def round_channels(self, channels: int) -> int:
        """Scale channels by the width coefficient (``round_filters`` of transformers' ALIGN)."""
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
    def smallest_side(self) -> int:
        """The least side of an image: the stem and the strides halve it, and a pixel remains."""
        return int(2 ** (1 + list(self.strides).count(2)))

    @property
    def grid(self) -> tuple[int, float]:
        """Where the places of the last feature map lie in an image, along either side.

        The distance of neighbouring places, and the centre of the first place, in pixels of the
        image. ALIGN's padding puts each centre half a place behind the middle of an even division.
        """
        distance, centre = 1, 0.5
        squares = [block.square_padding for block in self.blocks() if block.stride == 2]
        for square in [False, *squares]:  # the stem comes first
            centre += 0 if square else distance
            distance *= 2
        return distance, centre

    @property
    def activation(self) -> str:
        """``hidden_act`` by timm's name."""
        return _ACTIVATIONS[self.hidden_act]

    def first_stages(self, count: int) -> VisionConfig:
        """Return the shape of the tower that ends behind ``count`` of the stages."""
        return replace(self, **{name: getattr(self, name)[:count] for name in _BY_STAGE})

    def _repeats(self, stage: int) -> int:
        return math.ceil(self.depth_coefficient * self.num_block_repeats[stage])

    def blocks(self) -> Iterator[BlockSpec]:
        """Yield every block in the order of transformers' flat ``encoder.blocks`` list."""
        flat = 0
        for stage in range(len(self.in_channels)):
            out = self.round_channels(self.out_channels[stage])
            for i in range(self._repeats(stage)):
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

    vocab_size: int = within(30522, 1, 1 << 24)
    hidden_size: int = within(768, 1, _WIDEST)
    num_hidden_layers: int = within(12, 0, _MOST_BLOCKS)
    num_attention_heads: int = within(12, 1, _WIDEST)
    intermediate_size: int = within(3072, 1, 1 << 20)
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = within(0.1, 0, 1)
    attention_probs_dropout_prob: float = within(0.1, 0, 1)
    max_position_embeddings: int = within(512, 1, 1 << 20)
    type_vocab_size: int = within(2, 1, _WIDEST)
    initializer_range: float = within(0.02, 0, 1_000)
    layer_norm_eps: float = within(1e-12, 1e-30, 10)
    pad_token_id: int = within(0, 0, 1 << 24)

    def __post_init__(self) -> None:
        """Refuse values from which BERT cannot be built, by the field's name."""
        prefix = "text_config."
        check_ranges(self, prefix)
        if self.hidden_size % self.num_attention_heads:
            what = f"a divisor of hidden_size {self.hidden_size}"
            refuse(prefix + "num_attention_heads", self.num_attention_heads, what)
        if self.hidden_act not in _ACTIVATIONS:
            refuse(prefix + "hidden_act", self.hidden_act, f"one of {sorted(_ACTIVATIONS)}")
        if self.pad_token_id >= self.vocab_size:
            refuse(prefix + "pad_token_id", self.pad_token_id, "an id of the vocabulary")
        rows = self.vocab_size + self.max_position_embeddings + self.type_vocab_size
        layer = 4 * self.hidden_size + 2 * self.intermediate_size
        parameters = self.hidden_size * (rows + self.num_hidden_layers * layer)
        if parameters > _MOST_PARAMETERS:
            what = f"with the other fields it makes {parameters:.1e} parameters, too many"
            refuse(prefix + "hidden_size", self.hidden_size, what)


@dataclass(frozen=True)
class AlignConfig:
    """The shape of a whole ALIGN checkpoint: both towers, their common width, the temperature."""

    vision_config: VisionConfig = field(default_factory=VisionConfig)
    text_config: TextConfig = field(default_factory=TextConfig)
    projection_dim: int = within(640, 1, _WIDEST)
    temperature_init_value: float = within(1.0, 1e-6, 1e6)

    def __post_init__(self) -> None:
        """Refuse towers with different widths."""
        check_ranges(self)
        width = self.vision_config.embedding_dim
        if width != self.projection_dim:
            what = f"the image tower's width, {width}"
            refuse("projection_dim", self.projection_dim, what)

    @classmethod
    def from_dict(cls, config: Mapping[str, Any], *, source: str = "config.json") -> AlignConfig:
        """Read a parsed ``config.json``.

        Args:
            config: the file's content.
            source: the name of the file in errors, usually its path.

        Raises:
            CheckpointError: the file is no ALIGN config, or a field's value is not supported.
        """
        try:
            if config.get("model_type") != "align":
                refuse("model_type", config.get("model_type"), "'align'")
            vision, text = config.get("vision_config"), config.get("text_config")
            _refuse_what_is_switched_on(config, text)
            return cls(
                vision_config=VisionConfig(**read(VisionConfig, vision, "vision_config.")),
                text_config=TextConfig(**read(TextConfig, text, "text_config.")),
                **read(cls, config, but=("vision_config", "text_config")),
            )
        except CheckpointError as error:
            raise CheckpointError(f"{source}: {error}") from None


def _refuse_what_is_switched_on(config: Mapping[str, Any], text: Any) -> None:
    """Refuse options of older versions of transformers and of quantisers."""
    if config.get("quantization_config"):
        refuse("quantization_config", config["quantization_config"], "weights as they were trained")
    if isinstance(text, Mapping):
        for name, supported in (
            ("position_embedding_type", "absolute"),
            ("is_decoder", False),
            ("add_cross_attention", False),
        ):
            if text.get(name) not in (None, supported):
                refuse(f"text_config.{name}", text[name], repr(supported))
