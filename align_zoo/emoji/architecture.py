"""align_emoji's architecture: ALIGN at a small width, and its transform."""

from __future__ import annotations

from align_zoo.checkpoint.config import AlignConfig, TextConfig
from align_zoo.checkpoint.vision_config import VisionConfig
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.tiny.architecture import square_transform
from align_zoo.tiny.vocabulary import MAX_TOKENS

__all__ = ["IMAGE_SIZE", "build_config", "build_transform"]

IMAGE_SIZE = 57  # odd, as ALIGN's 289 is
RESIZE = IMAGE_SIZE + 1  # drawings fill their image: next to nothing is cut off

HIDDEN = 128


def build_config(vocabulary: int) -> AlignConfig:
    """Make the configuration for a vocabulary of so many tokens."""
    vision = VisionConfig(
        image_size=IMAGE_SIZE,
        width_coefficient=0.5,
        depth_coefficient=1.0,
        # Two halvings in the first blocks, then all at a seventh of the side: fast on CPUs.
        in_channels=(32, 64, 160),
        out_channels=(64, 160, 512),
        kernel_sizes=(3, 3, 5),
        strides=(2, 2, 1),
        num_block_repeats=(2, 4, 2),
        expand_ratios=(3, 3, 3),
        hidden_dim=256,
        drop_connect_rate=0.0,
    )
    text = TextConfig(
        vocab_size=vocabulary,
        hidden_size=HIDDEN,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=4 * HIDDEN,
        max_position_embeddings=MAX_TOKENS,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.1,
    )
    return AlignConfig(
        text_config=text,
        vision_config=vision,
        projection_dim=vision.round_channels(vision.out_channels[-1]),
        temperature_init_value=0.07,
    )


def build_transform() -> AlignTransform:
    """Make the transform: that of kakaobrain/align-base with other sizes."""
    return square_transform(RESIZE, IMAGE_SIZE)
