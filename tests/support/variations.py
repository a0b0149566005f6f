"""Every field of transformers' ALIGN configs, and what becomes of it here.

Shared by test_config_variations.py, which tests each row, and parity_report.py, which prints
them. A field is honoured (it changes the answer, and ours changes with it), unused (it touches
no answer of a loaded checkpoint) or refused by its name.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from checkpoints import FEW_BLOCKS, lively_model, save_checkpoint, small_config
from parity import relative_error
from transformers import AlignConfig, AlignModel
from transformers.models.align.modeling_align import round_filters

import align_zoo


class Row(NamedTuple):
    """A value of a field of one of the config's sections: "vision", "text" or "" for the top."""

    section: str
    field: str
    value: Any
    also: dict[str, Any]
    """Fields that the value needs: of its section, for the top of the vision section."""

    @property
    def name(self) -> str:
        return f"{self.section}_config.{self.field}" if self.section else self.field

    def config(self) -> AlignConfig:
        """transformers' small config with this row's value."""
        return self._config({self.field: self.value})

    def default_config(self) -> AlignConfig:
        """The same config without it."""
        return self._config({})

    def _config(self, values: dict[str, Any]) -> AlignConfig:
        if not self.section:
            return small_config(self.also if values else {}, **values)
        own = {**self.also, **values}
        config = small_config(own) if self.section == "vision" else small_config(FEW_BLOCKS, own)
        # The text projection is as wide as the image embedding, or there is no answer.
        last = config.vision_config.out_channels[-1]
        config.projection_dim = round_filters(config.vision_config, last)
        return config


class Comparison(NamedTuple):
    """Relative errors of our embeddings, and how far the field moves transformers'."""

    image: float
    text: float
    moved: float
    """Infinite where the weights of the one value do not fit the other."""


@torch.inference_mode()
def compare(row: Row, folder: Path) -> Comparison:
    """Our answers and transformers' on a checkpoint with the row's value."""
    theirs = lively_model(row.config(), seed=2)
    model, _, _ = align_zoo.create_align(save_checkpoint(theirs, folder))
    random = torch.Generator().manual_seed(0)
    shape = theirs.config.text_config
    images = torch.randn(2, theirs.config.vision_config.num_channels, 75, 101, generator=random)
    ids = torch.randint(0, min(shape.vocab_size, 20), (3, 40), generator=random)
    types = torch.randint(0, shape.type_vocab_size, ids.shape, generator=random)
    ids[:, 0] = 2

    def embed(model: AlignModel) -> tuple[torch.Tensor, torch.Tensor]:
        text = model.get_text_features(
            input_ids=ids,
            attention_mask=ids != model.config.text_config.pad_token_id,
            token_type_ids=types,
        )
        return model.get_image_features(images).pooler_output, text.pooler_output

    image, text = embed(theirs)
    default = AlignModel(row.default_config()).eval()
    try:
        default.load_state_dict(theirs.state_dict())
    except RuntimeError:
        moved = math.inf
    else:
        moved = max(map(relative_error, embed(default), (image, text)))
    return Comparison(
        image=relative_error(model.encode_image(images), image),
        text=relative_error(model.text(ids, token_type_ids=types), text),
        moved=moved,
    )


def vision(field: str, *values: Any, **also: Any) -> list[Row]:
    return [Row("vision", field, value, also) for value in values]


def text(field: str, *values: Any, **also: Any) -> list[Row]:
    return [Row("text", field, value, also) for value in values]


def top(field: str, *values: Any, **also: Any) -> list[Row]:
    return [Row("", field, value, also) for value in values]


OUT = [16, 24, 40, 80, 112, 192, 320]
ACTIVATIONS = ["relu", "relu6", "gelu_new", "gelu_pytorch_tanh", "mish", "tanh", "sigmoid"]

HONOURED = [
    *vision("num_channels", 1, 4),
    *vision("width_coefficient", 0.1, 0.5),
    *vision("depth_coefficient", 0.3, 1.1),
    *vision("depth_divisor", 4, 16),
    *vision("kernel_sizes", [5, 3, 7, 3, 5, 3, 5], [1, 1, 1, 1, 1, 1, 1], [9, 3, 5, 3, 5, 5, 3]),
    *vision("in_channels", [32, 48, 24, 40, 80, 112, 192], out_channels=[48, *OUT[1:]]),
    *vision("out_channels", [*OUT[:-1], 160], [*OUT[:-1], 960]),
    *vision("depthwise_padding", [1], [1, 4], [2, 3, 99], list(range(20))),
    *vision("strides", [2, 1, 2, 1, 2, 2, 1], [1, 1, 1, 1, 1, 1, 1], [1, 2, 2, 2, 2, 1, 1]),
    *vision("num_block_repeats", [2, 2, 2, 2, 2, 2, 2], [1, 1, 1, 1, 1, 1, 4]),
    *vision("expand_ratios", [2, 1, 4, 6, 6, 3, 1], [1, 1, 1, 1, 1, 1, 1]),
    *vision("squeeze_expansion_ratio", 0.0, 0.3, 0.5, 2.0),
    *vision("hidden_act", "gelu", *ACTIVATIONS),
    *vision("pooling_type", "max"),
    *vision("batch_norm_eps", 1e-5, 0.5),
    *text("vocab_size", 150, 1000),
    *text("hidden_size", 32, 96),
    *text("num_hidden_layers", 0, 1, 3),
    *text("num_attention_heads", 1, 2, 6),
    *text("intermediate_size", 1, 48, 200),
    *text("hidden_act", "silu", *ACTIVATIONS),
    *text("max_position_embeddings", 65, 300),
    *text("type_vocab_size", 1, 5),
    *text("layer_norm_eps", 0.1, 1.0),
    *text("pad_token_id", 3),
    *top("projection_dim", 48, out_channels=[*OUT[:-1], 160]),
]

UNUSED = [
    *vision("image_size", 40, 600, [300, 200]),
    *vision("hidden_dim", 9, 1280),
    *vision("initializer_range", 0.5),
    *vision("batch_norm_momentum", 0.5),
    *vision("drop_connect_rate", 0.0, 0.9, 1),
    *text("hidden_dropout_prob", 0.0, 0.9),
    *text("attention_probs_dropout_prob", 0.0, 0.9),
    *text("initializer_range", 0.5),
    *text("bos_token_id", 7),
    *text("eos_token_id", 7, [7, 8]),
    *text("use_cache", False),
    *top("initializer_range", 0.5),
    *top("temperature_init_value", 5.0),
]

REFUSED = [
    *vision("num_channels", 0, -3, 3.0, "3", True, [3], 10**9),
    *vision("image_size", 0, [], [1, 2, 3], [0, 5], "large", 10**12),
    *vision("width_coefficient", 0, -1.0, 1e9, math.nan, math.inf, "wide", [2.0], 900.0),
    *vision("depth_coefficient", 0, -1.0, 1e9, math.nan, math.inf, "deep"),
    *vision("depth_divisor", 0, -8, 8.0, 10**9),
    *vision("kernel_sizes", [], [3, 3], [3, 3, 4, 3, 5, 5, 3], [3, 3, 0, 3, 5, 5, 3], 3, [3.0] * 7),
    *vision("in_channels", [], [32, 64, 24, 40, 80, 112, 192], [0] * 7, "many", [10**9] * 7),
    *vision("out_channels", [], [16], [0] * 7, [16, 24, 40, 80, 112, 192, 10**9]),
    *vision("depthwise_padding", [-1], [1.5], 3, "all", [10**9]),
    *vision("strides", [], [1, 2], [1, 2, 3, 2, 1, 2, 1], [True] * 7, [1, 2, 0, 2, 1, 2, 1]),
    *vision("num_block_repeats", [], [1, 2, 2, 3, 3, 4, "x"], [0] * 7, [10**9] * 7, [999] * 7),
    *vision("expand_ratios", [], [1, 6, 6, 6, 6, 6, 0], [1, 6, 6, 6, 6, 6, 10**9]),
    *vision("expand_ratios", [1, 3, 3, 3, 3, 3, 3], depth_divisor=4),
    *vision("squeeze_expansion_ratio", -0.1, math.nan, 1e9, "a quarter"),
    *vision("hidden_act", "softsign", "selu", "linear", "", 3),
    *vision("hidden_dim", 0, -5, 2.0, math.nan),
    *vision("pooling_type", "attention", "", ["mean"]),
    *vision("batch_norm_eps", 0, -1.0, math.nan, math.inf),
    *vision("batch_norm_momentum", -0.1, 1.1, math.nan),
    *vision("drop_connect_rate", -0.1, 1.1, math.nan),
    *text("vocab_size", 0, -1, "many", 10**12),
    *text("hidden_size", 0, -48, 48.0, 10**12, 65536),
    *text("num_hidden_layers", -1, 10**9, "two"),
    *text("num_attention_heads", 0, 7, -4, 10**9),
    *text("intermediate_size", 0, -1, 10**12),
    *text("hidden_act", "no_such_activation", "selu", 1),
    *text("hidden_dropout_prob", -0.1, 1.5, math.nan),
    *text("attention_probs_dropout_prob", -0.1, 1.5, math.nan),
    *text("max_position_embeddings", 0, -1, 10**12),
    *text("type_vocab_size", 0, -1, 10**9),
    *text("initializer_range", -1.0, math.nan),
    *text("layer_norm_eps", 0, -1.0, math.nan, math.inf, 10**400),
    *text("pad_token_id", -1, 200, 100_000, "[PAD]"),
    *text("position_embedding_type", "relative_key", "relative_key_query"),
    *text("is_decoder", True),
    *text("add_cross_attention", True),
    *top("projection_dim", 0, 97, 96.0, "wide", 10**12),
    *top("temperature_init_value", 0, -1.0, math.nan),
    *top("quantization_config", {"load_in_8bit": True}),
    *top("model_type", "clip", "bert", "align_text_model", None, 3, ["align"]),
    *top("text_config", [], "bert", 3),
    *top("vision_config", [], "efficientnet", False),
]
