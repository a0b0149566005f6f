"""ALIGN's text tower: transformers' BERT, the first token's state, one linear head.

``AlignModel.get_text_features`` of transformers: ``text_projection(last_hidden_state[:, 0])``.
BERT's pooler is never used, so it does not exist here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn
from transformers import BertConfig, BertModel

from align_zoo.checkpoint import EMBEDDED, open_checkpoint
from align_zoo.config import TextConfig
from align_zoo.convert import (
    StateDict,
    check_complete,
    from_hf,
    replaced_heads,
    text_table,
    weights_source,
)

__all__ = ["AlignText", "align_base_text", "align_tiny_text"]


class AlignText(nn.Module):
    """BERT and ALIGN's text projection.

    Args:
        config: the shape, from a checkpoint's ``text_config``.
        num_classes: width D of the head; 0 for none, which returns BERT's first token.
    """

    def __init__(self, *, config: TextConfig, num_classes: int = 640) -> None:
        super().__init__()
        self.bert = BertModel(BertConfig(**asdict(config)), add_pooling_layer=False)
        self.pad_token_id = config.pad_token_id
        self.num_classes = num_classes
        self.num_features = self.head_hidden_size = config.hidden_size
        self.head = nn.Linear(config.hidden_size, num_classes) if num_classes else nn.Identity()

    def forward_features(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Hidden states [N, L, hidden] of token ids [N, L].

        Without a mask, every position but the padding id's is attended to.
        """
        if attention_mask is None:
            attention_mask = (input_ids != self.pad_token_id).long()
        states: torch.Tensor = self.bert(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        return states

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """First token [N, hidden] of hidden states [N, L, hidden], projected to [N, D]."""
        x = x[:, 0]
        projected: torch.Tensor = x if pre_logits else self.head(x)
        return projected

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Embeddings [N, D], not yet normalised, of token ids [N, L]."""
        return self.forward_head(self.forward_features(input_ids, attention_mask, token_type_ids))

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        """The projection into the common space."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A fresh head of ``num_classes`` outputs, or none with 0."""
        self.num_classes = num_classes
        like: dict[str, Any] = {
            "device": self.bert.device,
            "dtype": self.bert.dtype,
        }
        self.head = (
            nn.Linear(self.num_features, num_classes, **like) if num_classes else (nn.Identity())
        )


def checkpoint_filter_fn(state_dict: Mapping[str, Any], model: nn.Module) -> StateDict:
    """Hugging Face's ALIGN weights, or already native ones, for ``model``.

    Raises:
        CheckpointError: a weight is missing, left over or of another shape.
    """
    converted = from_hf(state_dict, text_table())
    check_complete(converted, model, source=weights_source(model), free=replaced_heads(model))
    return converted


def _create(variant: str, pretrained: bool, config: TextConfig, **kwargs: Any) -> nn.Module:
    model: nn.Module = build_model_with_cfg(
        AlignText,
        variant,
        pretrained,
        config=config,
        pretrained_filter_fn=checkpoint_filter_fn,
        # timm hands these to every model; a text tower has neither.
        kwargs_filter=("in_chans", "global_pool"),
        **kwargs,
    )
    return model


def build_text_tower(config: TextConfig, projection_dim: int) -> AlignText:
    """An untrained tower of any ALIGN shape, outside timm's registry."""
    return AlignText(config=config, num_classes=projection_dim)


def _cfg(**kwargs: Any) -> dict[str, Any]:
    return {
        "input_size": None,
        "first_conv": None,
        "classifier": "head",
        "paper_ids": "arXiv:2102.05918",
        **kwargs,
    }


default_cfgs = generate_default_cfgs(
    {
        "align_base_text.kakao_coyo700m": _cfg(
            hf_hub_id="kakaobrain/align-base",
            num_classes=640,
            origin_url="https://github.com/kakaobrain/coyo-align",
        ),
        "align_tiny_text.shapes_digits": _cfg(
            file=str(EMBEDDED["align_tiny"] / "model.safetensors"), num_classes=128
        ),
    }
)


@register_model
def align_base_text(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """ALIGN-base's text tower, a BERT-base and its projection: ids [N, L] -> [N, 640]."""
    return _create("align_base_text", pretrained, TextConfig(), **kwargs)


@register_model
def align_tiny_text(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """The embedded checkpoint's text tower."""
    config = open_checkpoint("align_tiny").config.text_config
    return _create("align_tiny_text", pretrained, config, **kwargs)
