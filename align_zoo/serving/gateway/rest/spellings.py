"""Requests in the spellings of OpenAI, infinity, vLLM, Jina and Cohere, as one kind of request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from align_zoo.errors import InvalidInput
from align_zoo.inputs.prompts import check_classnames, fill, read_templates
from align_zoo.serving.gateway.rest.body import Fields, malformed
from align_zoo.serving.gateway.rest.items import Item, looks_like_image

__all__ = [
    "FORMATS",
    "INPUT_TYPES",
    "MOST_MAPS",
    "Asked",
    "Labels",
    "Shares",
    "classify",
    "cohere",
    "heatmap",
    "openai",
]

_OPENAI = (
    "model",
    "input",
    "messages",
    "modality",
    "encoding_format",
    "embedding_type",
    "dimensions",
    "normalized",
    "user",
    "on_error",
)
"""The fields of ``/v1/embeddings``."""
_COHERE = (
    "model",
    "texts",
    "images",
    "inputs",
    "input_type",
    "embedding_types",
    "output_dimension",
    "truncate",
    "on_error",
)
"""The fields of ``/v2/embed``."""
_CLASSIFY = ("model", "images", "labels", "template", "none", "top_k", "on_error")
"""The fields of ``/v1/classify``."""
_HEATMAP = ("model", "image", "texts", "against")
"""The fields of ``/v1/heatmap``."""
MOST_MAPS = 256
"""The most texts of a heat map."""
FORMATS = ("float", "base64")
"""The formats of an embedding: numbers, or base64 of little-endian float32."""
_UNNAMED = ("", "default/not-specified")  # the latter is infinity's word for no name
INPUT_TYPES = ("search_document", "search_query", "classification", "clustering", "image")
"""Cohere's words for what an embedding is for; they change nothing."""
_MOST_PREDICTIONS = 100_000


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
    """The texts and images; of a classification the images, and then the prompts."""
    formats: tuple[str, ...] = ("float",)
    """The formats of the embeddings: "float" or "base64", or both."""
    width: tuple[str, int] | None = None
    """The field and the width of the embeddings that it names; None if it names none."""
    keep: bool = False
    """Whether an item that cannot be used has its error in its place."""
    labels: Labels | None = None
    shares: Shares | None = None


def openai(found: Any) -> Asked:
    """Read a request of ``/v1/embeddings``, of OpenAI, infinity, vLLM or Jina.

    Raises:
        Refusal: MALFORMED; the message names the field and the accepted values.
    """
    fields = Fields(found, _OPENAI)
    fields.string("user")
    fields.choice("normalized", (True,), True)
    modality = fields.choice("modality", ("text", "image"), "")
    if fields.given(("input", "messages")) == "messages":
        items = _messages(fields.items("messages"))
    else:
        items = list(_inputs(fields, modality))
    spelled = "embedding_type" if fields.value("embedding_type") else "encoding_format"
    return Asked(
        _model(fields),
        items,
        formats=(fields.choice(spelled, FORMATS, "float"),),
        width=_width(fields, "dimensions"),
        keep=_keep(fields),
    )


def cohere(found: Any) -> Asked:
    """Read a request of Cohere's ``/v2/embed``.

    Raises:
        Refusal: MALFORMED; the message names the field and the accepted values.
    """
    fields = Fields(found, _COHERE)
    fields.choice("input_type", INPUT_TYPES, "")
    fields.choice("truncate", ("END",), "END")
    name = fields.given(("texts", "images", "inputs"))
    given = fields.items(name)
    if name == "inputs":
        items = [_content(each, f"inputs[{i}]") for i, each in enumerate(given)]
    else:
        kind = name.removesuffix("s")
        items = [_item(kind, each, f"{name}[{i}]") for i, each in enumerate(given)]
    formats = ["float"]
    if fields.value("embedding_types") is not None:
        formats = fields.items("embedding_types")
        if any(each not in FORMATS for each in formats):
            raise malformed(f"embedding_types may be {' and '.join(FORMATS)}", "embedding_types")
    return Asked(
        _model(fields),
        items,
        formats=tuple(dict.fromkeys(formats)),
        width=_width(fields, "output_dimension"),
        keep=_keep(fields),
    )


def classify(found: Any) -> Asked:
    """Read a request of ``/v1/classify``.

    Raises:
        Refusal: MALFORMED; the message names the field and the accepted values.
    """
    fields = Fields(found, _CLASSIFY)
    images = [_item("image", each, f"images[{i}]") for i, each in enumerate(fields.items("images"))]
    try:
        given = check_classnames(fields.items("labels"), "label")
    except InvalidInput as error:
        raise malformed(str(error), "labels") from None
    template = fields.string("template")
    try:
        (form,) = read_templates(["{}" if template is None else template])
    except InvalidInput as error:
        raise malformed(str(error), "template") from None
    prompts: dict[str, Item] = {}
    for i, name in enumerate(given):
        prompts.setdefault(name, Item("text", fill(form, name), f"labels[{i}]"))
    none = fields.string("none")
    if none is not None:
        prompts.setdefault(none, Item("text", none, "none"))
    names = list(prompts)
    top_k = fields.whole("top_k")
    if top_k == 0:
        raise malformed("top_k must be above 0", "top_k")
    predictions = len(images) * min(top_k or len(names), len(names))
    if predictions > _MOST_PREDICTIONS:
        raise malformed(
            f"the answer would have {predictions:,} predictions: at most {_MOST_PREDICTIONS:,} "
            "are given; send fewer images, or a smaller top_k",
            "top_k",
        )
    return Asked(
        _model(fields),
        [*images, *prompts.values()],
        keep=_keep(fields),
        labels=Labels(names, top_k),
    )


def heatmap(found: Any) -> Asked:
    """Read a request of ``/v1/heatmap``.

    Raises:
        Refusal: MALFORMED; the message names the field and the accepted values.
    """
    fields = Fields(found, _HEATMAP)
    image = _item("image", fields.value("image"), "image")
    texts = [_item("text", each, f"texts[{i}]") for i, each in enumerate(fields.items("texts"))]
    if len(texts) > MOST_MAPS:
        raise malformed(f"texts has {len(texts)} items: at most {MOST_MAPS} are accepted", "texts")
    against = fields.string("against")
    items = [image, *texts, *([] if against is None else [Item("text", against, "against")])]
    return Asked(_model(fields), items, shares=Shares([each.value for each in texts], against))


def _model(fields: Fields) -> str | None:
    name = fields.string("model")
    return None if name in _UNNAMED else name


def _width(fields: Fields, name: str) -> tuple[str, int] | None:
    number = fields.whole(name)
    return (name, number) if number else None  # infinity's client sends 0 for any


def _keep(fields: Fields) -> bool:
    return fields.choice("on_error", ("raise", "return"), "raise") == "return"


def _inputs(fields: Fields, modality: str) -> Iterator[Item]:
    """Yield the items of ``input``: a string, or a list of strings and of Jina's objects."""
    found = fields.value("input")
    if isinstance(found, str):
        yield _string(modality, found, "input")
        return
    for i, each in enumerate(fields.items("input")):
        place = f"input[{i}]"
        if isinstance(each, (int, list)):
            raise malformed(
                "input has token ids, which another tokenizer may have made: send the texts as "
                "strings (with LangChain, check_embedding_ctx_length=False)",
                "input",
            )
        if isinstance(each, str):
            yield _string(modality, each, place)
        else:
            part = Fields(each, ("text", "image"), place)
            kind = part.given(("text", "image"))
            yield _item(kind, part.value(kind), part.param(kind))


def _string(modality: str, value: str, place: str) -> Item:
    if not modality and looks_like_image(value):
        raise malformed(f'{place} is an image: add "modality": "image"', "modality")
    return Item(modality or "text", value, place)


def _item(kind: str, value: Any, place: str) -> Item:
    if not isinstance(value, str):
        raise malformed(f"{place} must be a string", place)
    return Item(kind, value, place)


def _messages(messages: list[Any]) -> list[Item]:
    """Read vLLM's messages, which together have one text or one image."""
    items = []
    for i, each in enumerate(messages):
        message = Fields(each, ("role", "content"), f"messages[{i}]")
        message.string("role")
        found = message.value("content")
        if isinstance(found, str):
            items.append(Item("text", found, message.param("content")))
        else:
            parts = enumerate(message.items("content"))
            items += [_part(part, f"{message.param('content')}[{j}]") for j, part in parts]
    if len(items) != 1:
        raise malformed(
            f"messages have {len(items)} texts and images, and are answered by one embedding: "
            "send one text or one image, or several as input",
            "messages",
        )
    return items


def _content(found: Any, place: str) -> Item:
    """Read one of Cohere's inputs, which has one text or one image."""
    fields = Fields(found, ("content",), place)
    parts = fields.items("content")
    if len(parts) != 1:
        raise malformed(
            f"{place} has {len(parts)} texts and images, and is answered by one embedding: "
            "send each as an input of its own",
            place,
        )
    return _part(parts[0], f"{place}.content[0]")


def _part(found: Any, place: str) -> Item:
    """Read a part of a message: ``{"type": "text"}`` or ``{"type": "image_url"}``."""
    fields = Fields(found, ("type", "text", "image_url"), place)
    kind = fields.choice("type", ("text", "image_url"), "") or fields.given(("text", "image_url"))
    value, place = fields.value(kind), fields.param(kind)
    if isinstance(value, dict):
        image = Fields(value, ("url", "detail"), place)
        value, place = image.value("url"), image.param("url")
    return _item("text" if kind == "text" else "image", value, place)
