"""Reads an ALIGN ``config.json``, and checks each field.

The defaults are those of transformers' ``AlignConfig``, ``AlignVisionConfig`` and
``AlignTextConfig``, which describe ``kakaobrain/align-base``. So a field that a checkpoint leaves
out has the same value as in transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from align_zoo.checkpoint.fields import (
    MOST_BLOCKS,
    WIDEST,
    check_activation,
    check_parameters,
    check_ranges,
    read,
    refuse,
    within,
)
from align_zoo.checkpoint.vision_config import VisionConfig
from align_zoo.errors import CheckpointError

__all__ = ["AlignConfig", "TextConfig"]


@dataclass(frozen=True)
class TextConfig:
    """The fields of transformers' ``AlignTextConfig`` that shape the text tower (a BERT)."""

    vocab_size: int = within(30522, 1, 1 << 24)
    hidden_size: int = within(768, 1, WIDEST)
    num_hidden_layers: int = within(12, 0, MOST_BLOCKS)
    num_attention_heads: int = within(12, 1, WIDEST)
    intermediate_size: int = within(3072, 1, 1 << 20)
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = within(0.1, 0, 1)
    attention_probs_dropout_prob: float = within(0.1, 0, 1)
    max_position_embeddings: int = within(512, 1, 1 << 20)
    type_vocab_size: int = within(2, 1, WIDEST)
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
        check_activation(prefix + "hidden_act", self.hidden_act)
        if self.pad_token_id >= self.vocab_size:
            refuse(prefix + "pad_token_id", self.pad_token_id, "an id of the vocabulary")
        rows = self.vocab_size + self.max_position_embeddings + self.type_vocab_size
        layer = 4 * self.hidden_size + 2 * self.intermediate_size
        parameters = self.hidden_size * (rows + self.num_hidden_layers * layer)
        check_parameters(prefix + "hidden_size", self.hidden_size, parameters)


@dataclass(frozen=True)
class AlignConfig:
    """The shape of a whole ALIGN checkpoint: both towers, their common width, the temperature."""

    vision_config: VisionConfig = field(default_factory=VisionConfig)
    text_config: TextConfig = field(default_factory=TextConfig)
    projection_dim: int = within(640, 1, WIDEST)
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
