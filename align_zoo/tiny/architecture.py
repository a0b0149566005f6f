"""align_tiny's architecture: ALIGN at a small width and depth, and its random start."""

from __future__ import annotations

from torch import nn
from transformers import AlignModel

from align_zoo.checkpoint.config import AlignConfig, TextConfig
from align_zoo.checkpoint.hf_names import from_hf, image_table, text_table
from align_zoo.checkpoint.vision_config import VisionConfig
from align_zoo.formats.save import hf_config
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.tiny.vocabulary import MAX_TOKENS
from align_zoo.towers.align_image import build_image_tower
from align_zoo.towers.align_text import build_text_tower
from align_zoo.towers.dual_encoder import Align

IMAGE_SIZE = 49  # odd, as ALIGN's 289 is, so that a wrong padding gives wrong answers
# The side before the centre crop. The difference is odd, as that of 346 and 289, and rounds the
# same way everywhere: transformers floors the crop's offset, torchvision rounds half to even.
RESIZE = 58
EMBEDDING = 128  # round_filters(256) at this width; the embedding is the pooled last stage
HIDDEN = 64


def build_config(vocabulary: int) -> AlignConfig:
    """Make the configuration for a vocabulary of so many tokens."""
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
            # 0.02 is for 768 channels; here all captions would have one embedding at first
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


def random_start(config: AlignConfig, transform: AlignTransform) -> Align:
    """Make an untrained model, initialised as transformers does, with two differences.

    transformers initialises convolutions for fine-tuning, and its BatchNorm momentum of 0.01,
    which Keras has for long trainings, is too slow for a short training.
    """
    start = AlignModel(hf_config(config))
    for module in start.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.xavier_uniform_(start.text_projection.weight)
    weights = start.state_dict()
    image = build_image_tower(config.vision_config, transform)
    image.load_state_dict(from_hf(weights, image_table(image)))
    for module in image.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1
    text = build_text_tower(config.text_config, config.projection_dim)
    text.load_state_dict(from_hf(weights, text_table()))
    return Align(image, text, config.temperature_init_value)


def build_transform() -> AlignTransform:
    """Make align_tiny's transform."""
    return square_transform(RESIZE, IMAGE_SIZE)


def square_transform(resize: int, crop: int) -> AlignTransform:
    """Make the transform of kakaobrain/align-base with other sizes."""
    return AlignTransform.from_dict(
        {
            "image_processor_type": "EfficientNetImageProcessor",
            "do_resize": True,
            "size": {"height": resize, "width": resize},
            "resample": 2,
            "do_center_crop": True,
            "crop_size": {"height": crop, "width": crop},
            "do_rescale": True,
            "rescale_factor": 1 / 127.5,
            "rescale_offset": True,
            "do_normalize": False,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
            "include_top": False,
        }
    )
