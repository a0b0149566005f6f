"""Requests of ``/v1/classify`` and ``/v1/heatmap``: images, and texts that are put into prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from align_zoo.errors import InvalidInput
from align_zoo.inputs.prompts import TEMPLATE_SETS, check_classnames, fill, read_templates
from align_zoo.serving.gateway.rest.asked import Asked, Labels, Shares, keeps_errors, model_of
from align_zoo.serving.gateway.rest.body import Fields, malformed
from align_zoo.serving.gateway.rest.items import Item, read_item

__all__ = ["MOST_MAPS", "MOST_PROMPTS", "PROMPT_SETS", "classify", "heatmap"]

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
_MOST_PREDICTIONS = 100_000


def classify(found: Any) -> Asked:
    """Read a request of ``/v1/classify``.

    Raises:
        Refusal: MALFORMED; the message names the field and the accepted values.
    """
    fields = Fields(found, _CLASSIFY)
    images = [
        read_item("image", each, f"images[{i}]") for i, each in enumerate(fields.items("images"))
    ]
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
        model_of(fields),
        [*images, *prompts],
        keep=keeps_errors(fields),
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
    image = read_item("image", fields.value("image"), "image")
    given = [read_item("text", each, f"texts[{i}]") for i, each in enumerate(fields.items("texts"))]
    if len(given) > MOST_MAPS:
        raise malformed(f"texts has {len(given)} items: at most {MOST_MAPS} are accepted", "texts")
    texts = [item.value for item in given]
    against = fields.string("against")
    others = [] if against is None else [Item("text", against, "against")]
    named = [*given, *others]
    prompts, each = _prompts(fields, [item.value for item in named], [item.param for item in named])
    return Asked(
        model_of(fields),
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
