"""align_tiny's architecture: transformers' ALIGN at a small width and depth."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from transformers import AlignConfig, AlignModel, EfficientNetImageProcessorPil

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
        text_config={
            "vocab_size": vocabulary,
            "hidden_size": HIDDEN,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 4 * HIDDEN,
            "max_position_embeddings": MAX_TOKENS,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
            # 0.02 is for 768 channels; here it would embed every caption the same at first
            "initializer_range": 0.2,
        },
        vision_config={
            "image_size": IMAGE_SIZE,
            # Four stages of two blocks: seven stages of one block each have no skip connection
            # and learn three times more slowly.
            "width_coefficient": 0.5,
            "depth_coefficient": 1.0,
            "in_channels": [32, 32, 64, 128],
            "out_channels": [32, 64, 128, 256],
            "kernel_sizes": [3, 3, 5, 5],
            "strides": [1, 2, 2, 2],
            "num_block_repeats": [1, 2, 2, 2],
            "expand_ratios": [1, 4, 4, 3],
            "hidden_dim": EMBEDDING,
            "drop_connect_rate": 0.0,
        },
        projection_dim=EMBEDDING,
        temperature_init_value=0.07,
    )


def build_model(vocabulary: int) -> AlignModel:
    """A model ready to be trained from nothing.

    transformers initialises for fine-tuning and passes Keras's BatchNorm momentum on to
    PyTorch, where 0.99 keeps the statistics of the last batch alone.
    """
    model = AlignModel(build_config(vocabulary))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1
    nn.init.xavier_uniform_(model.text_projection.weight)
    return model.to(memory_format=torch.channels_last)  # faster convolutions on a CPU


def save_image_processor(folder: Path) -> EfficientNetImageProcessorPil:
    """Write preprocessor_config.json, like kakaobrain/align-base's but for the sizes."""
    processor = EfficientNetImageProcessorPil(
        do_resize=True,
        size={"height": RESIZE, "width": RESIZE},
        resample=2,
        do_center_crop=True,
        crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        do_rescale=True,
        rescale_factor=1 / 127.5,
        rescale_offset=True,
        do_normalize=False,
        include_top=False,
    )
    processor.save_pretrained(folder)
    return processor
