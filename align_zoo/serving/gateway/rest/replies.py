"""Answers in the shapes of OpenAI, Cohere and ``/v1/classify``, and errors in OpenAI's envelope."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from align_zoo.errors import InvalidInput
from align_zoo.runtime.features import shares
from align_zoo.runtime.predictions import mean_rows, ranked
from align_zoo.serving.gateway.rest.asked import Asked
from align_zoo.serving.routing import Served

__all__ = [
    "Answered",
    "as_cohere",
    "as_heatmap",
    "as_openai",
    "classified",
    "envelope",
    "item_error",
    "model",
    "models",
]

_ERRORS = {401: "authentication_error", 429: "rate_limit_error"}


class Answered(NamedTuple):
    """The answers to the items of a request."""

    rows: Sequence[np.ndarray | InvalidInput]
    """For each item its unit vector [D] float32, or why it cannot be used."""
    tokens: int
    """The tokens of all texts."""
    temperature: float
    """The learned scalar of ``logits = cosine / temperature``; 0 without a text."""
    features: np.ndarray | None = None
    """The last feature map [D, h, w] of the image, if it was asked for."""


def as_openai(asked: Asked, answered: Answered, served: Served, id: str) -> dict[str, Any]:
    """Return the embeddings in OpenAI's shape."""
    (form,) = asked.formats
    data = []
    for i, row in enumerate(answered.rows):
        each = {"object": "embedding", "index": i, "embedding": _formed(row, form)}
        if isinstance(row, InvalidInput):
            each["error"] = item_error(asked, i, row)
        data.append(each)
    return {"object": "list", "data": data, "model": served.name, "usage": _usage(answered)}


def as_cohere(asked: Asked, answered: Answered, served: Served, id: str) -> dict[str, Any]:
    """Return the embeddings in Cohere's shape; ``id`` is the id of the request."""
    images = sum(item.kind == "image" for item in asked.items)
    billed = {"images": images, "input_tokens": answered.tokens}
    return {
        "id": id,
        "response_type": "embeddings_by_type",
        "embeddings": {
            form: [
                {"error": item_error(asked, i, row)}
                if isinstance(row, InvalidInput)
                else _formed(row, form)
                for i, row in enumerate(answered.rows)
            ]
            for form in asked.formats
        },
        "texts": [item.value for item in asked.items if item.kind == "text"],
        "meta": {"api_version": {"version": "2"}, "billed_units": billed},
    }


def classified(asked: Asked, answered: Answered, served: Served, id: str) -> dict[str, Any]:
    """Return the predictions of each image: the softmax over the labels of cosine / temperature."""
    assert asked.labels is not None
    names, top_k = asked.labels.names, asked.labels.top_k
    rows = _of_prompts(asked, answered).astype(np.float64)
    images = answered.rows[: -sum(asked.counts)]
    data: list[dict[str, Any]] = []
    for i, image in enumerate(images):
        each: dict[str, Any] = {"object": "classification", "index": i, "predictions": None}
        if isinstance(image, InvalidInput):
            each["error"] = item_error(asked, i, image)
        else:
            found = ranked(names, image, rows, answered.temperature, top_k)
            each["predictions"] = [prediction._asdict() for prediction in found]
        data.append(each)
    return {
        "object": "list",
        "data": data,
        "model": served.name,
        "temperature": answered.temperature,
        "usage": _usage(answered),
    }


def as_heatmap(asked: Asked, answered: Answered, served: Served, id: str) -> dict[str, Any]:
    """Return the shares of an image's places in the cosines of the image and texts."""
    assert asked.shares is not None and answered.features is not None
    rows = _of_prompts(asked, answered)
    if asked.shares.against is not None:
        rows = rows[:-1] - rows[-1]
    maps = shares(answered.features, rows)
    # Of an image of one by one: the parts of the width and of the height.
    part, centres, columns = served.read_layout().places((1, 1), (maps.shape[1], maps.shape[2]))
    data = [
        {
            "object": "heatmap",
            "index": i,
            "text": text,
            "score": float(each.sum(dtype=np.float64)),
            "shares": each,
        }
        for i, (text, each) in enumerate(zip(asked.shares.texts, maps, strict=True))
    ]
    return {
        "object": "list",
        "data": data,
        "against": asked.shares.against,
        "part": part,
        "rows": centres,
        "columns": columns,
        "model": served.name,
        "usage": _usage(answered),
    }


def model(served: Served) -> dict[str, Any]:
    """Return what is known of the served model."""
    return {
        "id": served.name,
        "object": "model",
        "created": int(served.since),
        "owned_by": "align-zoo",
        "checkpoint": served.checkpoint,
        "dimensions": served.width,
    }


def models(served: Served) -> dict[str, Any]:
    """Return the list of the one model that is served."""
    return {"object": "list", "data": [model(served)]}


def envelope(status: int, message: str, param: str | None, code: str) -> dict[str, Any]:
    """Return an error of a status of HTTP in OpenAI's envelope."""
    kind = _ERRORS.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def item_error(asked: Asked, place: int, error: InvalidInput) -> dict[str, Any]:
    """Return what the envelope has for an item that cannot be used."""
    param = asked.items[place].param
    found: dict[str, Any] = envelope(400, f"{param}: {error}", param, error.reason)["error"]
    return found


def _of_prompts(asked: Asked, answered: Answered) -> np.ndarray:
    """Return the unit rows [C, D] of labels, or of the texts of a heat map."""
    rows = answered.rows[-sum(asked.counts) :]
    return mean_rows(np.stack([row for row in rows if isinstance(row, np.ndarray)]), asked.counts)


def _usage(answered: Answered) -> dict[str, int]:
    return {"prompt_tokens": answered.tokens, "total_tokens": answered.tokens}


def _formed(row: np.ndarray | InvalidInput, form: str) -> Any:
    """Return an embedding as numbers, or as base64 of little-endian float32; None for an error."""
    if isinstance(row, InvalidInput):
        return None
    return row if form == "float" else base64.b64encode(row.astype("<f4").tobytes()).decode()
