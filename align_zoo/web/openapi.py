"""What the OpenAPI document says of the search in a collection."""

from __future__ import annotations

from typing import Any

from align_zoo.serving.gateway.rest.openapi import operation

__all__ = ["COLLECTION", "SEARCH", "THUMBNAIL"]

_STRING = {"type": "string"}
_HIT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "object": {"const": "hit"},
        "index": {"type": "integer", "minimum": 0},
        "path": _STRING,
        "score": {"type": "number", "description": "The cosine between the search and the image."},
        "columns": {"type": "object"},
    },
    "required": ["object", "index", "path", "score", "columns"],
    "additionalProperties": False,
}
_IMAGE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "image": {**_STRING, "description": "In base64, or as a data URI with base64."},
        "path": {**_STRING, "description": "Of an image of the collection."},
        "weight": {"type": ["number", "null"], "description": "Below 0: not wanted."},
    },
    "oneOf": [{"required": ["image"]}, {"required": ["path"]}],
    "additionalProperties": False,
}
SEARCH = operation(
    "post",
    "The images of the collection that match words and images",
    request={
        "type": "object",
        "properties": {
            "query": {"type": ["string", "null"], "description": "As in `beach - 0.5:people`."},
            "images": {"type": ["array", "null"], "items": _IMAGE},
            "k": {"type": ["integer", "null"], "minimum": 1, "maximum": 500},
            "where": {"type": ["string", "null"], "description": "A condition in SQL."},
            "fold_duplicates": {"type": ["boolean", "null"]},
            "all": {
                "type": ["boolean", "null"],
                "description": "Return the nearest images, whether they match or not.",
            },
        },
        "additionalProperties": False,
    },
    answer={
        "type": "object",
        "properties": {
            "object": {"const": "list"},
            "data": {"type": "array", "items": _HIT},
            "nearest": {
                "anyOf": [_HIT, {"type": "null"}],
                "description": "The nearest image, if nothing matches.",
            },
        },
        "required": ["object", "data", "nearest"],
        "additionalProperties": False,
    },
    operationId="search",
)
COLLECTION = operation(
    "get",
    "The collection that is searched",
    answer={
        "type": "object",
        "properties": {
            "object": {"const": "collection"},
            "name": _STRING,
            "images": {"type": "integer", "minimum": 0},
            "columns": {"type": "array", "items": _STRING},
        },
        "required": ["object", "name", "images", "columns"],
        "additionalProperties": False,
    },
    operationId="collection",
)
THUMBNAIL = operation(
    "get",
    "An image of the collection, small",
    answer={},
    operationId="thumbnail",
    parameters=[{"name": "path", "in": "query", "required": True, "schema": _STRING}],
)
THUMBNAIL["get"]["responses"]["200"] = {
    "description": "A JPEG of at most 400 x 400 pixels.",
    "content": {"image/jpeg": {}},
}
