"""The image tower's part of ``config.json``, and the shape that follows from its fields."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from align_zoo.checkpoint.fields import (
    ACTIVATIONS,
    MOST_BLOCKS,
    WIDEST,
    check_activation,
    check_parameters,
    check_ranges,
    refuse,
    within,
)

__all__ = ["BlockSpec", "VisionConfig"]

# The fields of the image tower with a value for each stage.
_BY_STAGE = (
    "kernel_sizes",
    "in_channels",
    "out_channels",
    "strides",
    "num_block_repeats",
    "expand_ratios",
)


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
    image_size: int | Sequence[int] = within(600, 1, WIDEST)
    width_coefficient: float = within(2.0, 0.001, 1_000)
    depth_coefficient: float = within(3.1, 0.001, MOST_BLOCKS)
    depth_divisor: int = within(8, 1, WIDEST)
    kernel_sizes: Sequence[int] = within((3, 3, 5, 3, 5, 5, 3), 1, 99)
    in_channels: Sequence[int] = within((32, 16, 24, 40, 80, 112, 192), 1, WIDEST)
    out_channels: Sequence[int] = within((16, 24, 40, 80, 112, 192, 320), 1, WIDEST)
    depthwise_padding: Sequence[int] = within((), 0, MOST_BLOCKS)
    strides: Sequence[int] = within((1, 2, 2, 2, 1, 2, 1), 1, 2)
    num_block_repeats: Sequence[int] = within((1, 2, 2, 3, 3, 4, 1), 1, MOST_BLOCKS)
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
        check_activation(prefix + "hidden_act", self.hidden_act)
        if self.pooling_type not in ("mean", "max"):
            refuse(prefix + "pooling_type", self.pooling_type, "'mean' or 'max'")
        for before, after in zip((32, *self.out_channels), self.in_channels, strict=False):
            if self.round_channels(before) != self.round_channels(after):
                refuse(prefix + "in_channels", self.in_channels, "the stage before's output")
        if sum(map(self._repeats, range(stages))) > MOST_BLOCKS:
            what = f"at most {MOST_BLOCKS:,} blocks after depth_coefficient"
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
        check_parameters(prefix + "width_coefficient", self.width_coefficient, parameters)

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
        return ACTIVATIONS[self.hidden_act]

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
