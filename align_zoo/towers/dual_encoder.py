"""The dual encoder: an image tower, a text tower and the temperature between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from align_zoo.errors import InvalidInput, InvalidText
from align_zoo.towers.image_tower import AlignImage
from align_zoo.towers.text_tower import AlignText

__all__ = ["Align", "AlignOutput", "align_loss"]

TextInput = torch.Tensor | Mapping[str, torch.Tensor]
"""Token ids [N, L], or a tokenizer's mapping of ``input_ids`` and ``attention_mask``."""


class AlignOutput(NamedTuple):
    """The outputs of ``Align.forward``; a field is None where its input was not given.

    >>> model, transform, tokenizer = align_zoo.create_align("align_tiny")
    >>> output = model(text=tokenizer(["a star", "a circle"]))
    >>> output.text_embeds.shape, output.image_embeds
    (torch.Size([2, 128]), None)

    The embeddings come first, in open_clip's order: its evaluation reads ``output[0]`` of
    ``model(image=...)`` and ``output[1]`` of ``model(text=...)``.
    """

    image_embeds: torch.Tensor | None
    """[images, D], unit rows."""
    text_embeds: torch.Tensor | None
    """[texts, D], unit rows."""
    logits_per_image: torch.Tensor | None
    """[images, texts]: cosine / temperature."""
    logits_per_text: torch.Tensor | None
    """[texts, images], the transpose."""
    loss: torch.Tensor | None
    """The contrastive loss, if asked for."""
    vision_hidden_states: tuple[torch.Tensor, ...] | None = None
    """[images, C, H, W] behind the stem and behind every block, if asked for."""
    text_hidden_states: tuple[torch.Tensor, ...] | None = None
    """[texts, L, hidden] of BERT's embeddings and behind every layer, if asked for."""
    text_attentions: tuple[torch.Tensor, ...] | None = None
    """[texts, heads, L, L] of every layer, if asked for."""


class Align(nn.Module):
    """ALIGN (arXiv:2102.05918), equal to transformers' ``AlignModel``.

    >>> model, transform, tokenizer = align_zoo.create_align("align_tiny")
    >>> pixels = transform(Image.open("red-star.png"))[None]
    >>> output = model(pixels, tokenizer(["a star", "a circle"]))
    >>> output.logits_per_image.softmax(1).argmax().item()
    0

    Args:
        image: tower [N, 3, H, W] -> [N, D].
        text: tower [N, L] token ids -> [N, D].
        temperature: the learned scalar of ``logits = cosine / temperature``.
    """

    def __init__(self, image: AlignImage, text: AlignText, temperature: float = 1.0) -> None:
        super().__init__()
        self.image = image
        self.text = text
        like = next(image.parameters())
        self.temperature = nn.Parameter(like.new_tensor(float(temperature)))

    @property
    def visual(self) -> AlignImage:
        """The image tower, by the name that open_clip asks a model for."""
        return self.image

    def encode_image(self, image: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        """Embed preprocessed images [N, 3, H, W] as [N, D]; unit rows if ``normalize``."""
        embeds: torch.Tensor = self.image(self._pixels(image))
        return F.normalize(embeds, dim=-1) if normalize else embeds

    def _pixels(self, image: torch.Tensor) -> torch.Tensor:
        """Cast a tensor to the model's precision; anything else passes, for the tower to refuse."""
        return image.to(self.temperature.dtype) if isinstance(image, torch.Tensor) else image

    def encode_text(self, text: TextInput, normalize: bool = False) -> torch.Tensor:
        """Embed token ids [N, L] or a tokenizer's mapping as [N, D]; unit rows if ``normalize``."""
        embeds: torch.Tensor = self.text(**_text_arguments(text))
        return F.normalize(embeds, dim=-1) if normalize else embeds

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Trade time for memory in both towers' backward passes."""
        self.image.set_grad_checkpointing(enable)
        self.text.set_grad_checkpointing(enable)

    def forward(
        self,
        image: torch.Tensor | None = None,
        text: TextInput | None = None,
        *,
        return_loss: bool = False,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> AlignOutput:
        """Embed images, texts or both, and compare images with texts if both are given.

        Args:
            image: preprocessed images [images, 3, H, W].
            text: token ids [texts, L], or a tokenizer's mapping.
            return_loss: return ALIGN's contrastive loss; image i and text i belong together.
            output_hidden_states: return both towers' hidden states, equal to transformers'.
            output_attentions: return the text tower's attention weights, equal to transformers'.

        Raises:
            InvalidInput: neither an image nor a text is given, a loss is asked for without N
                images and N texts, or a tensor does not fit its tower.
        """
        if image is None and text is None:
            raise InvalidInput("Align needs an image, a text or both")
        image_embeds = text_embeds = logits = loss = None
        image_states = text_states = attentions = None
        if image is not None and output_hidden_states:
            embeds, image_states = self.image.forward_hidden_states(self._pixels(image))
            image_embeds = F.normalize(embeds, dim=-1)
        elif image is not None:
            image_embeds = self.encode_image(image, normalize=True)
        if text is not None and (output_hidden_states or output_attentions):
            embeds, text_states, attentions = self.text.forward_hidden_states(
                **_text_arguments(text)
            )
            text_embeds = F.normalize(embeds, dim=-1)
        elif text is not None:
            text_embeds = self.encode_text(text, normalize=True)
        if image_embeds is not None and text_embeds is not None:
            logits = image_embeds @ text_embeds.t() / self.temperature
        if return_loss:
            if logits is None or logits.shape[0] != logits.shape[1]:
                raise InvalidInput("the loss needs as many texts as images, in matching order")
            loss = align_loss(logits)
        return AlignOutput(
            logits_per_image=logits,
            logits_per_text=None if logits is None else logits.t(),
            image_embeds=image_embeds,
            text_embeds=text_embeds,
            loss=loss,
            vision_hidden_states=image_states,
            text_hidden_states=text_states if output_hidden_states else None,
            text_attentions=attentions if output_attentions else None,
        )


def _text_arguments(text: TextInput) -> dict[str, Any]:
    """Collect the text tower's inputs: ids, and mask and types if given."""
    if isinstance(text, torch.Tensor):
        return {"input_ids": text}
    if not isinstance(text, Mapping) or "input_ids" not in text:
        raise InvalidText(
            f"the text is a {type(text).__name__}, neither a tensor of token ids nor what a "
            "tokenizer returns"
        )
    known = ("input_ids", "attention_mask", "token_type_ids")
    for name in text:
        if name not in known:
            raise InvalidText(f"{name} is not supported: a text is {', '.join(known)}")
    return dict(text)


def align_loss(logits: torch.Tensor) -> torch.Tensor:
    """Compute the symmetric cross-entropy of logits [N, N] whose diagonal matches.

    The label smoothing is 0.1. Equal to ``align_loss`` of transformers; section 4.2 of the paper.
    """
    target = torch.arange(len(logits), device=logits.device)
    per_image = F.cross_entropy(logits, target, label_smoothing=0.1)
    per_text = F.cross_entropy(logits.t(), target, label_smoothing=0.1)
    return (per_image + per_text) / 2
