"""Requests in the spellings of OpenAI, infinity, vLLM, Jina and Cohere, as one kind of request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from align_zoo.errors import InvalidInput
from align_zoo.inputs.prompts import TEMPLATE_SETS, check_classnames, fill, read_templates
from align_zoo.serving.gateway.rest.body import Fields, malformed
from align_zoo.serving.gateway.rest.items import Item, looks_like_image

__all__ = [
    "FORMATS",
    "INPUT_TYPES",
    "MOST_MAPS",
    "MOST_PROMPTS",
    "PROMPT_SETS",
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
_CLASSIFY = ("model", "images", "labels", "template", "prompts", "none", "top_k", "on_error")
"""The fields of ``/v1/classify``."""
_HEATMAP = ("model", "image", "texts", "template", "prompts", "against")
"""The fields of ``/v1/heatmap``."""
MOST_MAPS = 256
"""The most texts of a heat map."""
MOST_PROMPTS = 8_192
"""The most texts that the labels and templates of a request make."""
_MOST_CHARACTERS = 2**24
"""The most characters of all prompts: a long template stands in each of them."""
PROMPT_SETS = tuple(TEMPLATE_SETS)
"""The names of sets of templates."""
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
    first: dict[str, str] = {}
    for i, name in enumerate(given):
        first.setdefault(name, f"labels[{i}]")
    names = list(first)
    prompts, each = _prompts(fields, names, list(first.values()))
    counts = [each] * len(names)
    none = fields.string("none")
    if none is not None and none not in first:
        names.append(none)
        prompts.append(Item("text", none, "none"))
        counts.append(1)
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
        [*images, *prompts],
        keep=_keep(fields),
        labels=Labels(names, top_k),
        counts=counts,
    )


def heatmap(found: Any) -> Asked:
    """Read a request of ``/v1/heatmap``.

    Raises:
        Refusal: MALFORMED; the message names the field and the accepted values.
    """
    if isinstance(found, dict) and found.get("size") is not None:
        raise malformed(
            "a heat map has the size of the checkpoint here, so size is not taken: for a finer "
            "map use `align-zoo explain --size`",
            "size",
        )
    fields = Fields(found, _HEATMAP)
    image = _item("image", fields.value("image"), "image")
    given = [_item("text", each, f"texts[{i}]") for i, each in enumerate(fields.items("texts"))]
    if len(given) > MOST_MAPS:
        raise malformed(f"texts has {len(given)} items: at most {MOST_MAPS} are accepted", "texts")
    texts = [item.value for item in given]
    against = fields.string("against")
    others = [] if against is None else [Item("text", against, "against")]
    named = [*given, *others]
    prompts, each = _prompts(fields, [item.value for item in named], [item.param for item in named])
    return Asked(
        _model(fields),
        [image, *prompts],
        shares=Shares(texts, against),
        counts=[each] * len(named),
    )


def _prompts(fields: Fields, names: Sequence[str], places: Sequence[str]) -> tuple[list[Item], int]:
    """Put labels, or texts, into each template; return the prompts and their number for a label."""
    set_name = fields.choice("prompts", PROMPT_SETS, "")
    given = fields.value("template")
    if set_name and given is not None:
        raise malformed("template and prompts exclude each other: give one of them", "prompts")
    if given is None:
        forms = TEMPLATE_SETS[set_name or "none"]
    elif not isinstance(given, str | list):
        raise malformed("template must be a string or a list of strings", "template")
    else:
        try:
            forms = read_templates([given] if isinstance(given, str) else fields.items("template"))
        except InvalidInput as error:
            raise malformed(str(error), "template") from None
    param = "prompts" if set_name else "template"
    number = len(names) * len(forms)
    if number > MOST_PROMPTS:
        raise malformed(
            f"{len(names):,} texts and {len(forms):,} templates make {number:,} prompts: at most "
            f"{MOST_PROMPTS:,} are accepted; send fewer texts, or fewer templates",
            param,
        )
    characters = len(forms) * sum(map(len, names)) + len(names) * sum(map(len, forms))
    if characters > _MOST_CHARACTERS:
        raise malformed(
            f"the prompts would have {characters:,} characters: at most {_MOST_CHARACTERS:,} are "
            "accepted; shorten the texts or the templates",
            param,
        )
    prompts = [
        Item("text", fill(form, name), place)
        for name, place in zip(names, places, strict=True)
        for form in forms
    ]
    return prompts, len(forms)


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
