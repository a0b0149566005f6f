"""The OpenAPI document of the calls, for tools that read one and for people."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

from align_zoo.serving.gateway.rest.schemas import STRING, Schema, ref, schemas

__all__ = ["document", "operation"]

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


def _responses(answer: Schema, *statuses: int) -> dict[str, Any]:
    return {
        "200": _content(answer, "The answer."),
        **{str(each): _content(ref("Envelope"), _ERRORS[each]) for each in statuses},
    }


def _content(schema: Schema, description: str) -> dict[str, Any]:
    return {"description": description, **_json_content(schema)}


def _json_content(schema: Schema) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _post(summary: str, request: str, answer: str) -> dict[str, Any]:
    body = {"required": True, **_json_content(ref(request))}
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
        "responses": _responses(ref(answer), *(each for each in _ERRORS if each != 403)),
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
    method: str, summary: str, *, request: Schema | None = None, answer: Schema, **more: Any
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
        "responses": _responses(ref("Models"), 401, 503),
    }
    retrieved = {
        "summary": "The served model, by its name",
        "operationId": "model",
        "parameters": [
            {
                "name": "model",
                "in": "path",
                "required": True,
                "schema": STRING,
                "description": "The name in the list; it may have slashes.",
            }
        ],
        "responses": _responses(ref("Model"), 401, 404, 503),
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
            "schemas": schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }
