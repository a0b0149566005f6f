"""Checkpoints to test on: transformers' AlignModel with random weights that are alive.

A default init makes the embeddings of all images nearly equal, so that a broken port passes.
Here convolutions and linears get He init and BatchNorm the statistics of a forward pass.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from timm.layers import create_conv2d
from torch import nn
from transformers import AlignConfig, AlignModel, BertTokenizerFast

from align_zoo.towers.layers import FixedPadConv2d

PREPROCESSOR = {
    "image_processor_type": "EfficientNetImageProcessor",
    "do_resize": True,
    "size": {"height": 346, "width": 346},
    "resample": 2,
    "do_center_crop": True,
    "crop_size": {"height": 289, "width": 289},
    "do_rescale": True,
    "rescale_factor": 1 / 127.5,
    "rescale_offset": True,
    "do_normalize": False,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "include_top": False,
}
"""What kakaobrain/align-base says, as transformers' conversion script wrote it."""

SMALL_VISION = {"width_coefficient": 0.3, "depth_coefficient": 0.6, "image_size": 75}
FEW_BLOCKS = {
    "in_channels": [32, 16, 24],
    "out_channels": [16, 24, 320],
    "kernel_sizes": [3, 5, 3],
    "strides": [1, 2, 2],
    "num_block_repeats": [1, 1, 1],
    "expand_ratios": [1, 6, 4],
    "depthwise_padding": [1],
}
"""Of a vision config: an image tower that is exported fast."""
SMALL_TEXT = {
    "vocab_size": 200,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "max_position_embeddings": 80,
}


def small_config(vision: dict | None = None, text: dict | None = None, **kwargs) -> AlignConfig:
    """A config of ALIGN's architecture that runs in milliseconds."""
    kwargs.setdefault("projection_dim", 96)
    return AlignConfig(
        vision_config={**SMALL_VISION, **(vision or {})},
        text_config={**SMALL_TEXT, **(text or {})},
        **kwargs,
    )


def lively_model(config: AlignConfig, *, seed: int = 0, size: int = 75) -> AlignModel:
    """transformers' model in eval mode, whose answers depend on their input."""
    torch.manual_seed(seed)
    model = AlignModel(config)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            module.momentum = None  # a cumulative average over the pass below
    nn.init.normal_(model.text_model.embeddings.word_embeddings.weight, std=1.0)
    with torch.no_grad():
        model.temperature.fill_(0.07)
        vision = model.vision_model.train()
        vision(torch.randn(4, config.vision_config.num_channels, size, size))
    return model.eval()


def save_checkpoint(
    model: AlignModel,
    folder: Path,
    *,
    preprocessor: dict | None = None,
    bin: bool = False,
    words: Sequence[str] = (),
) -> Path:
    """An ALIGN folder with weights, preprocessor and a WordPiece tokenizer of letters.

    ``words`` are further ones that the tokenizer knows as a whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if bin:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        model.config.save_pretrained(folder)
    else:
        model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor or PREPROCESSOR))
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)] + [str(d) for d in range(10)]
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    known = ["photo", "of", "cat", "dog", "the", "red", "big", "bus", "##s", "##ing"]
    vocabulary = [*specials, *letters, *(f"##{c}" for c in letters), *known, ",", ".", "!", "'"]
    vocabulary += [word for word in dict.fromkeys(words) if word not in vocabulary]
    # The padding token stands where the config says that it does.
    vocabulary.insert(model.config.text_config.pad_token_id, vocabulary.pop(0))
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    tokenizer = BertTokenizerFast(
        vocab=str(folder / "vocab.txt"), do_lower_case=True, model_max_length=64
    )
    tokenizer.save_pretrained(folder)
    return folder


def with_same_padding(tower: torch.nn.Module) -> torch.nn.Module:
    """The tower as it would be with timm's padding: what the port must not do."""
    for name, module in list(tower.named_modules()):
        if isinstance(module, FixedPadConv2d):
            same = create_conv2d(
                module.in_channels,
                module.out_channels,
                module.kernel_size[0],
                stride=2,
                padding="same",
                groups=module.groups,
            )
            same.weight = module.weight
            tower.set_submodule(name, same)
    return tower
