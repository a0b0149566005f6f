"""align_tiny's architecture: ALIGN at a small width and depth, and its random start."""

from __future__ import annotations

from torch import nn

from align_zoo.align_image import build_image_tower
from align_zoo.align_text import build_text_tower
from align_zoo.config import AlignConfig, TextConfig, VisionConfig
from align_zoo.model import Align
from align_zoo.preprocess import AlignTransform
from align_zoo.tiny.vocabulary import MAX_TOKENS

IMAGE_SIZE = 49  # odd, as ALIGN's 289 is: where the padding is wrong, the answers are wrong
# Before the centre crop. An odd difference as 346 and 289 have it, and one that rounds the same
# way everywhere: transformers floors the crop's offset, torchvision rounds half to even.
RESIZE = 58
EMBEDDING = 128  # round_filters(256) at this width: the pooled last stage is the embedding
HIDDEN = 64


def build_config(vocabulary: int) -> AlignConfig:
    """The configuration for a vocabulary of so many tokens."""
    return AlignConfig(
        text_config=TextConfig(
            vocab_size=vocabulary,
            hidden_size=HIDDEN,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=4 * HIDDEN,
            max_position_embeddings=MAX_TOKENS,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            # 0.02 is for 768 channels; here it would embed every caption the same at first
            initializer_range=0.2,
        ),
        vision_config=VisionConfig(
            image_size=IMAGE_SIZE,
            # Four stages of two blocks: seven stages of one block each have no skip connection
            # and learn three times more slowly.
            width_coefficient=0.5,
            depth_coefficient=1.0,
            in_channels=(32, 32, 64, 128),
            out_channels=(32, 64, 128, 256),
            kernel_sizes=(3, 3, 5, 5),
            strides=(1, 2, 2, 2),
            num_block_repeats=(1, 2, 2, 2),
            expand_ratios=(1, 4, 4, 3),
            hidden_dim=EMBEDDING,
            drop_connect_rate=0.0,
        ),
        projection_dim=EMBEDDING,
        temperature_init_value=0.07,
    )


def build_model(vocabulary: int) -> Align:
    """A model ready to be trained from nothing.

    The checkpoint's BatchNorm momentum is Keras's of long trainings; this one is short.
    """
    config = build_config(vocabulary)
    image = build_image_tower(config.vision_config, build_transform())
    text = build_text_tower(config.text_config, config.projection_dim)
    for module in image.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1
    nn.init.xavier_uniform_(text.get_parameter("head.weight"))
    nn.init.zeros_(text.get_parameter("head.bias"))
    return Align(image, text, config.temperature_init_value)


def build_transform() -> AlignTransform:
    """Like kakaobrain/align-base's but for the sizes."""
    return AlignTransform.from_dict(
        {
            "image_processor_type": "EfficientNetImageProcessor",
            "do_resize": True,
            "size": {"height": RESIZE, "width": RESIZE},
            "resample": 2,
            "do_center_crop": True,
            "crop_size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
            "do_rescale": True,
            "rescale_factor": 1 / 127.5,
            "rescale_offset": True,
            "do_normalize": False,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
            "include_top": False,
        }
    )
