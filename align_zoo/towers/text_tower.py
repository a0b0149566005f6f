"""ALIGN's text tower: transformers' BERT, the first token's state, one linear head.

``AlignModel.get_text_features`` of transformers: ``text_projection(last_hidden_state[:, 0])``.
BERT's pooler is never used, so it does not exist here.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import BertConfig, BertModel

from align_zoo.checkpoint.config import TextConfig
from align_zoo.errors import InvalidInput
from align_zoo.towers.building import refuse_hf_names
from align_zoo.towers.neighbours import create_bidirectional_mask, feature_take_indices
from align_zoo.towers.text_tokens import check_tokens

__all__ = ["AlignText"]


class AlignText(nn.Module):
    """BERT and ALIGN's text projection: token ids [N, L] -> [N, D].

    >>> tower = timm.create_model("align_tiny_text", pretrained=True).eval()
    >>> tower(torch.tensor([[2, 456, 3]])).shape
    torch.Size([1, 128])

    Args:
        config: the shape, from a checkpoint's ``text_config``.
        num_classes: width D of the head; 0 for no head, which returns BERT's first token.
        drop_rate: dropout in front of the head, in training.
        device: the device of the parameters; the CPU by default.
        dtype: the dtype of the parameters; float32 by default.
    """

    # Set by timm.create_model: the weights' description, and the arguments to build it again.
    pretrained_cfg: dict[str, Any]
    _model_args: dict[str, Any]

    def __init__(
        self,
        *,
        config: TextConfig,
        num_classes: int = 640,
        drop_rate: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.drop_rate = drop_rate
        self.num_features = self.head_hidden_size = config.hidden_size
        with nullcontext() if device is None else torch.device(device):
            self.bert = BertModel(BertConfig(**asdict(config)), add_pooling_layer=False)
            width = config.hidden_size
            self.head = nn.Linear(width, num_classes) if num_classes else nn.Identity()
        self.feature_info = [
            {"num_chs": config.hidden_size, "module": f"bert.encoder.layer.{i}"}
            for i in range(config.num_hidden_layers)
        ]
        self.to(dtype=dtype)

    def __prepare_scriptable__(self) -> Any:
        raise InvalidInput(
            "TorchScript cannot compile the text tower, whose layers are transformers' BERT: use "
            "torch.jit.trace or torch.export, or for serving `align-zoo export`"
        )

    def load_state_dict(self, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        """Load weights under timm's names, as torch does.

        Raises:
            CheckpointError: the names are Hugging Face's.
        """
        refuse_hf_names(state_dict)
        return super().load_state_dict(state_dict, *args, **kwargs)

    def init_non_persistent_buffers(self) -> None:
        """Fill the buffers that no checkpoint has; timm calls this after the meta device."""
        embeddings = self.bert.embeddings
        positions = embeddings.position_ids
        positions.copy_(torch.arange(positions.shape[1], device=positions.device))
        embeddings.token_type_ids.zero_()

    # Not in forward, which compilers trace: reading the ids would end the graph.
    def __call__(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> Any:
        """Check the tensors, and call ``forward``.

        Raises:
            InvalidText: ``input_ids`` is not [N, L] of whole numbers, is longer than BERT's
                positions or has an id outside the vocabulary; the mask or the token types have
                another shape, or BERT does not have a token type.
        """
        if not torch.compiler.is_compiling() and not torch.jit.is_tracing():
            check_tokens(self.config, input_ids, attention_mask, token_type_ids)
        return super().__call__(input_ids, attention_mask, token_type_ids)

    def _embed(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        token_type_ids: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Compute BERT's embeddings [N, L, hidden], and the mask for its layers."""
        if attention_mask is None:
            attention_mask = (input_ids != self.config.pad_token_id).long()
        if attention_mask.is_meta and attention_mask.ndim == 2:
            # The shape that attention takes. transformers would read the values of a mask [N, L].
            attention_mask = attention_mask[:, None, None, :].bool()
        x = self.bert.embeddings(input_ids=input_ids, token_type_ids=token_type_ids)
        mask = create_bidirectional_mask(
            config=self.bert.config, inputs_embeds=x, attention_mask=attention_mask
        )
        return x, mask

    def forward_features(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Compute hidden states [N, L, hidden] of token ids [N, L].

        Without a mask, tokens with the padding id are masked.
        """
        x, mask = self._embed(input_ids, attention_mask, token_type_ids)
        for layer in self.bert.encoder.layer:
            x = layer(x, mask)
        return x

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Project the first token of hidden states [N, L, hidden] to [N, D]."""
        x = F.dropout(x[:, 0], self.drop_rate, self.training)
        projected: torch.Tensor = x if pre_logits else self.head(x)
        return projected

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Compute embeddings [N, D], not yet normalised, of token ids [N, L]."""
        return self.forward_head(self.forward_features(input_ids, attention_mask, token_type_ids))

    def forward_intermediates(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        *,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NLC",
        intermediates_only: bool = False,
    ) -> list[torch.Tensor] | tuple[torch.Tensor, list[torch.Tensor]]:
        """Compute hidden states behind chosen layers, as timm's models do.

        Args:
            input_ids: token ids [N, L].
            attention_mask: [N, L]; by default tokens with the padding id are masked.
            token_type_ids: [N, L]; 0 by default.
            indices: an int for the last n layers, a sequence of layers, or None for all.
            norm: no effect, because BERT's layers end in their norm.
            stop_early: do not compute the layers behind the last wanted layer.
            output_fmt: "NLC", the only format of a text.
            intermediates_only: return the intermediates alone.

        Returns:
            The hidden states [N, L, hidden] of the last computed layer, and the intermediates, each
            [N, L, hidden].

        Raises:
            ValueError: ``output_fmt`` is not "NLC".
        """
        if output_fmt != "NLC":
            raise ValueError(f"output_fmt is {output_fmt!r}; a text tower has 'NLC' alone")
        layers = self.bert.encoder.layer
        take, last = feature_take_indices(len(layers), indices)
        x, mask = self._embed(input_ids, attention_mask, token_type_ids)
        intermediates = []
        for index, layer in enumerate(layers[: last + 1] if stop_early else layers):
            x = layer(x, mask)
            if index in take:
                intermediates.append(x)
        return intermediates if intermediates_only else (x, intermediates)

    def forward_hidden_states(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
        """Compute the embedding [N, D] and the records of transformers' ``AlignTextModel``.

        Returns:
            The embedding; the hidden states [N, L, hidden] of BERT's embeddings and behind
            every layer; the attention weights [N, heads, L, L] of every layer.
        """
        check_tokens(self.config, input_ids, attention_mask, token_type_ids)
        x, mask = self._embed(input_ids, attention_mask, token_type_ids)
        states, attentions = [x], []
        for layer in self.bert.encoder.layer:
            attentions.append(_attention_weights(layer.attention.self, x, mask))
            x = layer(x, mask)
            states.append(x)
        return self.forward_head(x), tuple(states), tuple(attentions)

    def prune_intermediate_layers(
        self,
        indices: int | Sequence[int] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Drop the layers behind the last of ``indices``, and the head, as timm's models do."""
        layers = self.bert.encoder.layer
        take, last = feature_take_indices(len(layers), indices)
        self.bert.encoder.layer = layers[: last + 1]
        self.feature_info = self.feature_info[: last + 1]
        self.bert.config.num_hidden_layers = last + 1
        self.config = replace(self.config, num_hidden_layers=last + 1)
        # The arguments to build a saved tower again.
        self._model_args = {**getattr(self, "_model_args", {}), "config": asdict(self.config)}
        if prune_head:
            self.reset_classifier(0)
        return list(take)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Group parameters by depth, for layer decay: the embeddings, then layer by layer."""
        return {"stem": r"^bert\.embeddings", "blocks": r"^bert\.encoder\.layer\.(\d+)"}

    def no_weight_decay(self) -> set[str]:
        """Name the learned constants; timm spares biases and norms by itself."""
        return {
            "bert.embeddings.position_embeddings.weight",
            "bert.embeddings.token_type_embeddings.weight",
        }

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Compute every layer again in the backward pass instead of keeping its activations."""
        if enable:
            self.bert.activation_checkpointing_enable({"use_reentrant": False})
        else:
            self.bert.activation_checkpointing_disable()

    def get_classifier(self) -> nn.Module:
        """Return the projection into the common space."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Set a fresh head of ``num_classes`` outputs, or none with 0."""
        self.num_classes = num_classes
        like: dict[str, Any] = {
            "device": self.bert.device,
            "dtype": self.bert.dtype,
        }
        self.head = (
            nn.Linear(self.num_features, num_classes, **like) if num_classes else nn.Identity()
        )


def _attention_weights(attention: Any, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Compute softmax(q k / sqrt(d) + mask), [N, heads, L, L], which fused kernels do not give."""

    def heads(states: torch.Tensor) -> torch.Tensor:
        width = attention.attention_head_size
        return states.view(*states.shape[:-1], -1, width).transpose(1, 2)

    scores = heads(attention.query(x)) @ heads(attention.key(x)).transpose(2, 3)
    scores = scores * attention.scaling
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    elif mask is not None:
        scores = scores + mask
    return scores.softmax(-1)
