"""What a request asks, in whichever spelling it came."""

from __future__ import annotations

from dataclasses import dataclass, field

from align_zoo.serving.gateway.rest.body import Fields
from align_zoo.serving.gateway.rest.items import Item

__all__ = ["Asked", "Labels", "Shares", "keeps_errors", "model_of"]

_UNNAMED = ("", "default/not-specified")  # the latter is infinity's word for no name


@dataclass(frozen=True)
class Labels:
    """The question of ``/v1/classify``."""

    names: list[str]
    """Different labels."""
    top_k: int | None
    """The most predictions of an image; None for all labels."""


@dataclass(frozen=True)
class Shares:
    """The question of ``/v1/heatmap``."""

    texts: list[str]
    against: str | None
    """The text whose cosine is subtracted from the others'."""


@dataclass(frozen=True)
class Asked:
    """A request in any of the spellings."""

    model: str | None
    """The name of the model; None if the request names none."""
    items: list[Item]
    """The texts and images; of a classification or a heat map the images, and then the prompts."""
    formats: tuple[str, ...] = ("float",)
    """The formats of the embeddings: "float" or "base64", or both."""
    width: tuple[str, int] | None = None
    """The field and the width of the embeddings that it names; None if it names none."""
    keep: bool = False
    """Whether an item that cannot be used has its error in its place."""
    labels: Labels | None = None
    shares: Shares | None = None
    counts: list[int] = field(default_factory=list)
    """For each label, or text of a heat map, the number of its prompts."""


def model_of(fields: Fields) -> str | None:
    """Return the name of the model; None if the request names none."""
    name = fields.string("model")
    return None if name in _UNNAMED else name


def keeps_errors(fields: Fields) -> bool:
    """Return whether an item that cannot be used has its error in its place."""
    return fields.choice("on_error", ("raise", "return"), "raise") == "return"
