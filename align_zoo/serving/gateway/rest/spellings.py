"""Requests in the spellings of OpenAI, infinity, vLLM, Jina and Cohere, as one kind of request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from align_zoo.serving.gateway.rest.asked import Asked, keeps_errors, model_of
from align_zoo.serving.gateway.rest.body import Fields, malformed
from align_zoo.serving.gateway.rest.items import Item, looks_like_image, read_item

__all__ = ["FORMATS", "INPUT_TYPES", "cohere", "openai"]

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
FORMATS = ("float", "base64")
"""The formats of an embedding: numbers, or base64 of little-endian float32."""
INPUT_TYPES = ("search_document", "search_query", "classification", "clustering", "image")
"""Cohere's words for what an embedding is for; they change nothing."""


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
        model_of(fields),
        items,
        formats=(fields.choice(spelled, FORMATS, "float"),),
        width=_width(fields, "dimensions"),
        keep=keeps_errors(fields),
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
        items = [read_item(kind, each, f"{name}[{i}]") for i, each in enumerate(given)]
    formats = ["float"]
    if fields.value("embedding_types") is not None:
        formats = fields.items("embedding_types")
        if any(each not in FORMATS for each in formats):
            raise malformed(f"embedding_types may be {' and '.join(FORMATS)}", "embedding_types")
    return Asked(
        model_of(fields),
        items,
        formats=tuple(dict.fromkeys(formats)),
        width=_width(fields, "output_dimension"),
        keep=keeps_errors(fields),
    )


def _width(fields: Fields, name: str) -> tuple[str, int] | None:
    number = fields.whole(name)
    return (name, number) if number else None  # infinity's client sends 0 for any


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
            yield read_item(kind, part.value(kind), part.param(kind))


def _string(modality: str, value: str, place: str) -> Item:
    if not modality and looks_like_image(value):
        raise malformed(f'{place} is an image: add "modality": "image"', "modality")
    return Item(modality or "text", value, place)


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
    return read_item("text" if kind == "text" else "image", value, place)
