"""The OpenAPI document of the calls, for tools that read one and for people."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

from align_zoo.serving.gateway.rest.body import MOST_ITEMS
from align_zoo.serving.gateway.rest.spellings import (
    FORMATS,
    INPUT_TYPES,
    MOST_MAPS,
    MOST_PROMPTS,
    PROMPT_SETS,
)

__all__ = ["document", "operation"]

_Schema = dict[str, Any]

_STRING: _Schema = {"type": "string"}
_COUNT: _Schema = {"type": "integer", "minimum": 0}
_IMAGE: _Schema = {
    "type": "string",
    "description": "An encoded image in base64, or as a data URI with base64. No URL is fetched.",
}
_MODEL: _Schema = {
    "type": ["string", "null"],
    "description": "The served model's name; without it, whichever is served.",
}
_ON_ERROR: _Schema = {
    "enum": ["raise", "return", None],
    "description": 'With "return", an item that cannot be used has its error in its place.',
}
_DIMENSIONS: _Schema = {
    "type": ["integer", "null"],
    "minimum": 0,
    "description": "The width of the embeddings, which the checkpoint decides; 0 for any.",
}
_ERRORS = {
    400: "The request is not accepted as it is, or an item cannot be used: `param` names it.",
    401: "A bearer token is needed, or the token is not accepted.",
    403: "Another site's page may not ask this.",
    404: "The model is not the served one.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "The body is compressed in a way that is not read.",
    429: "Too much waits already: try again after `Retry-After` seconds.",
    500: "An error of the service, which its log explains.",
    503: "The service starts, restarts or stops: try again after `Retry-After` seconds.",
    504: "The time of the header `Align-Timeout` is over.",
}


def _object(required: str = "", /, **properties: _Schema) -> _Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def _list(items: _Schema, least: int = 1, most: int = MOST_ITEMS) -> _Schema:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def _ref(name: str) -> _Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _is(value: object) -> _Schema:
    return {"const": value}


def _part(url: _Schema) -> _Schema:
    """Return a part of a message: a text or an image."""
    text = _object("text", type=_is("text"), text=_STRING)
    return {"anyOf": [text, _object("image_url", type=_is("image_url"), image_url=url)]}


def _schemas() -> dict[str, _Schema]:
    url = {"anyOf": [_IMAGE, _object("url", url=_IMAGE, detail=_STRING)]}
    numbers = {"type": "array", "items": {"type": "number"}}
    vector = {"anyOf": [numbers, _STRING], "description": "Numbers, or base64 of float32."}
    error = _ref("Error")
    usage = _object("prompt_tokens total_tokens", prompt_tokens=_COUNT, total_tokens=_COUNT)
    failed = _object(
        "object index embedding error",
        object=_is("embedding"),
        index=_COUNT,
        embedding={"type": "null"},
        error=error,
    )
    embedded = _object(
        "object index embedding", object=_is("embedding"), index=_COUNT, embedding=vector
    )
    prediction = _object(
        "label score", label=_STRING, score={"type": "number", "minimum": 0, "maximum": 1}
    )
    classified = _object(
        "object index predictions",
        object=_is("classification"),
        index=_COUNT,
        predictions={"type": ["array", "null"], "items": prediction},
        error=error,
    )
    jina = {"anyOf": [_STRING, _object("text", text=_STRING), _object("image", image=_IMAGE)]}
    message = _object("content", role=_STRING, content={"anyOf": [_STRING, _list(_part(url))]})
    model = _object(
        "id object created owned_by checkpoint dimensions",
        id=_STRING,
        object=_is("model"),
        created=_COUNT,
        owned_by=_STRING,
        checkpoint=_STRING,
        dimensions=_COUNT,
    )
    template = {
        "anyOf": [_STRING, _list(_STRING), {"type": "null"}],
        "description": "One prompt template or several; `{}` is replaced by the label. The unit "
        "rows of a label's prompts are averaged, and the mean is made a unit row. Labels times "
        f"templates are at most {MOST_PROMPTS:,}.",
    }
    prompts = {
        "enum": [*PROMPT_SETS, None],
        "description": "A set of templates, instead of `template`: the label alone, one prompt, or "
        "CLIP's 80 prompts for ImageNet.",
    }
    return {
        "EmbeddingsRequest": _object(
            model=_MODEL,
            input={"anyOf": [_STRING, _list(jina)]},
            messages=_list(message),
            modality={"enum": ["text", "image", None]},
            encoding_format={"enum": [*FORMATS, None]},
            embedding_type={"enum": [*FORMATS, None]},
            dimensions=_DIMENSIONS,
            normalized={"enum": [True, None]},
            user={"type": ["string", "null"]},
            on_error=_ON_ERROR,
        )
        | {"oneOf": [{"required": ["input"]}, {"required": ["messages"]}]},
        "Embeddings": _object(
            "object data model usage",
            object=_is("list"),
            data=_list({"anyOf": [embedded, failed]}),
            model=_STRING,
            usage=usage,
        ),
        "EmbedRequest": _object(
            model=_MODEL,
            texts=_list(_STRING),
            images=_list(_IMAGE),
            inputs=_list(_object("content", content=_list(_part(url), most=1))),
            input_type={"enum": [*INPUT_TYPES, None]},
            embedding_types=_list({"enum": list(FORMATS)}),
            output_dimension=_DIMENSIONS,
            truncate={"enum": ["END", None]},
            on_error=_ON_ERROR,
        )
        | {"oneOf": [{"required": [name]} for name in ("texts", "images", "inputs")]},
        "Embed": _object(
            "id response_type embeddings texts meta",
            id=_STRING,
            response_type=_is("embeddings_by_type"),
            embeddings=_object(
                float=_list({"anyOf": [numbers, _object("error", error=error)]}),
                base64=_list({"anyOf": [_STRING, _object("error", error=error)]}),
            ),
            texts=_list(_STRING, least=0),
            meta=_object(
                "api_version billed_units",
                api_version=_object("version", version=_STRING),
                billed_units=_object("images input_tokens", images=_COUNT, input_tokens=_COUNT),
            ),
        ),
        "ClassifyRequest": _object(
            "images labels",
            model=_MODEL,
            images=_list(_IMAGE),
            labels=_list(_STRING),
            template=template,
            prompts=prompts,
            none={
                "type": ["string", "null"],
                "description": "A further label, without the template, for other images.",
            },
            top_k={"type": ["integer", "null"], "minimum": 1},
            on_error=_ON_ERROR,
        ),
        "Classified": _object(
            "object data model temperature usage",
            object=_is("list"),
            data=_list(classified),
            model=_STRING,
            temperature={"type": "number", "exclusiveMinimum": 0},
            usage=usage,
        ),
        "HeatmapRequest": _object(
            "image texts",
            model=_MODEL,
            image=_IMAGE,
            texts=_list(_STRING, most=MOST_MAPS),
            template=template,
            prompts=prompts,
            against={
                "type": ["string", "null"],
                "description": "Another text: the shares are those of the difference of cosines.",
            },
        ),
        "Heatmap": _object(
            "object data against part rows columns model usage",
            object=_is("list"),
            data=_list(
                _object(
                    "object index text score shares",
                    object=_is("heatmap"),
                    index=_COUNT,
                    text=_STRING,
                    score={"type": "number", "description": "The sum of the shares."},
                    shares={
                        "type": "array",
                        "items": numbers,
                        "description": "A row for each row of places, from the top.",
                    },
                )
            ),
            against={"type": ["string", "null"]},
            part=numbers
            | {
                "description": "Left, top, right and bottom of what the tower sees, as parts of "
                "the image's width and height."
            },
            rows=numbers | {"description": "The centres of the rows, as parts of the height."},
            columns=numbers | {"description": "The centres of the columns, of the width."},
            model=_STRING,
            usage=usage,
        ),
        "Model": model,
        "Models": _object("object data", object=_is("list"), data=_list(_ref("Model"))),
        "Error": _object(
            "message type param code",
            message=_STRING,
            type={
                "enum": [
                    "invalid_request_error",
                    "authentication_error",
                    "rate_limit_error",
                    "server_error",
                ]
            },
            param={"type": ["string", "null"], "description": "The part at fault: `input[3]`."},
            code=_STRING,
        ),
        "Envelope": _object("error", error=error),
    }


def _responses(answer: _Schema, *statuses: int) -> dict[str, Any]:
    return {
        "200": _content(answer, "The answer."),
        **{str(each): _content(_ref("Envelope"), _ERRORS[each]) for each in statuses},
    }


def _content(schema: _Schema, description: str) -> dict[str, Any]:
    return {"description": description, **_json_content(schema)}


def _json_content(schema: _Schema) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _post(summary: str, request: str, answer: str) -> dict[str, Any]:
    body = {"required": True, "content": {"application/json": {"schema": _ref(request)}}}
    timeout = {
        "name": "Align-Timeout",
        "in": "header",
        "schema": {"type": "number", "exclusiveMinimum": 0},
        "description": "The seconds after which the caller needs no answer.",
    }
    operation = {
        "summary": summary,
        "operationId": answer.lower(),
        "parameters": [timeout],
        "requestBody": body,
        "responses": _responses(_ref(answer), *(each for each in _ERRORS if each != 403)),
    }
    return {"post": operation}


def document(further: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Return the document, in OpenAPI 3.1.

    Args:
        further: what it says of further paths, each made by :func:`operation`.
    """
    found = _document()
    return {**found, "paths": {**found["paths"], **further}}


def operation(
    method: str, summary: str, *, request: _Schema | None = None, answer: _Schema, **more: Any
) -> dict[str, Any]:
    """Return what the document says of a further path.

    Args:
        method: "get" or "post".
        summary: one sentence.
        request: the schema of the body.
        answer: the schema of the answer.
        more: further parts of the operation.
    """
    body = {"required": True, **_json_content(request)} if request else None
    return {
        method: {
            "summary": summary,
            **({"requestBody": body} if body else {}),
            "responses": _responses(answer, 400, 401, 403, 500, 503),
            **more,
        }
    }


@cache
def _document() -> dict[str, Any]:
    listed = {
        "summary": "The served model",
        "operationId": "models",
        "responses": _responses(_ref("Models"), 401, 503),
    }
    retrieved = {
        "summary": "The served model, by its name",
        "operationId": "model",
        "parameters": [
            {
                "name": "model",
                "in": "path",
                "required": True,
                "schema": _STRING,
                "description": "The name in the list; it may have slashes.",
            }
        ],
        "responses": _responses(_ref("Model"), 401, 404, 503),
    }
    ready = {
        "type": "object",
        "properties": {"ready": {"type": "boolean"}},
        "required": ["ready"],
    }
    health = {
        "summary": "Whether the service can answer",
        "operationId": "health",
        "security": [],
        "responses": {
            "200": _content(ready, "The service can answer."),
            "503": _content(ready, "The service cannot answer, and why."),
        },
    }
    itself = {
        "summary": "This document",
        "operationId": "document",
        "security": [],
        "responses": {"200": _content({"type": "object"}, "The document.")},
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "align-zoo",
            "version": version("align-zoo"),
            "description": "Embeddings of images and texts, and labels of images, by ALIGN.",
        },
        "paths": {
            "/v1/embeddings": _post(
                "Embeddings, in the spelling of OpenAI, infinity, vLLM or Jina",
                "EmbeddingsRequest",
                "Embeddings",
            ),
            "/v2/embed": _post("Embeddings, in the spelling of Cohere", "EmbedRequest", "Embed"),
            "/v1/classify": _post(
                "The labels that fit images, with the learned temperature",
                "ClassifyRequest",
                "Classified",
            ),
            "/v1/heatmap": _post(
                "Where in an image texts are seen: exact shares of the cosines",
                "HeatmapRequest",
                "Heatmap",
            ),
            "/v1/models": {"get": listed},
            "/v1/models/{model}": {"get": retrieved},
            "/v1/health": {"get": health},
            "/openapi.json": {"get": itself},
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }
