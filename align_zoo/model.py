"""The dual encoder: an image tower, a text tower and the temperature between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["Align", "AlignOutput", "align_loss"]

TextInput = torch.Tensor | Mapping[str, torch.Tensor]
"""Token ids [N, L], or a tokenizer's mapping of ``input_ids`` and ``attention_mask``."""


class AlignOutput(NamedTuple):
    """What ``Align.forward`` returns; a field is None where its input was not given."""

    logits_per_image: torch.Tensor | None
    """[images, texts]: cosine / temperature."""
    logits_per_text: torch.Tensor | None
    """[texts, images], the transpose."""
    image_embeds: torch.Tensor | None
    """[images, D], unit rows."""
    text_embeds: torch.Tensor | None
    """[texts, D], unit rows."""
    loss: torch.Tensor | None
    """The contrastive loss, if it was asked for."""


class Align(nn.Module):
    """ALIGN (arXiv:2102.05918), equal to transformers' ``AlignModel``.

    Args:
        image: tower [N, 3, H, W] -> [N, D].
        text: tower [N, L] token ids -> [N, D].
        temperature: the learned scalar of ``logits = cosine / temperature``.
    """

    def __init__(self, image: nn.Module, text: nn.Module, temperature: float = 1.0) -> None:
        super().__init__()
        self.image = image
        self.text = text
        self.temperature = nn.Parameter(torch.tensor(float(temperature)))

    def encode_image(self, image: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        """Embeddings [N, D] of preprocessed pictures [N, 3, H, W]; unit rows if ``normalize``."""
        embeds: torch.Tensor = self.image(image.to(self.temperature.dtype))
        return F.normalize(embeds, dim=-1) if normalize else embeds

    def encode_text(self, text: TextInput, normalize: bool = False) -> torch.Tensor:
        """Embeddings [N, D] of token ids [N, L] or a tokenizer's mapping."""
        if isinstance(text, torch.Tensor):
            embeds = self.text(text)
        else:
            embeds = self.text(text["input_ids"], text.get("attention_mask"))
        return F.normalize(embeds, dim=-1) if normalize else embeds

    def forward(
        self,
        image: torch.Tensor | None = None,
        text: TextInput | None = None,
        *,
        return_loss: bool = False,
    ) -> AlignOutput:
        """Embed what is given, and compare where both are.

        Raises:
            ValueError: neither is given, or a loss is asked for without N pictures and N texts.
        """
        if image is None and text is None:
            raise ValueError("Align needs an image, a text or both")
        image_embeds = None if image is None else self.encode_image(image, normalize=True)
        text_embeds = None if text is None else self.encode_text(text, normalize=True)
        logits = None
        if image_embeds is not None and text_embeds is not None:
            logits = image_embeds @ text_embeds.t() / self.temperature
        loss = None
        if return_loss:
            if logits is None or logits.shape[0] != logits.shape[1]:
                raise ValueError("the loss needs as many texts as images, in matching order")
            loss = align_loss(logits)
        per_text = None if logits is None else logits.t()
        return AlignOutput(logits, per_text, image_embeds, text_embeds, loss)


def align_loss(logits: torch.Tensor) -> torch.Tensor:
    """Symmetric cross-entropy of logits [N, N] whose diagonal matches, label smoothing 0.1.

    ``align_loss`` of transformers; section 4.2 of the paper.
    """
    target = torch.arange(len(logits), device=logits.device)
    per_image = F.cross_entropy(logits, target, label_smoothing=0.1)
    per_text = F.cross_entropy(logits.t(), target, label_smoothing=0.1)
    return (per_image + per_text) / 2
