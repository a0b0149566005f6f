"""The JSON schemas of requests and answers, as the OpenAPI document has them."""

from __future__ import annotations

from typing import Any

from align_zoo.serving.gateway.rest.body import MOST_ITEMS
from align_zoo.serving.gateway.rest.questions import MOST_MAPS, MOST_PROMPTS, PROMPT_SETS
from align_zoo.serving.gateway.rest.spellings import FORMATS, INPUT_TYPES

__all__ = ["STRING", "Schema", "ref", "schemas"]

Schema = dict[str, Any]
"""A JSON schema."""

STRING: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_IMAGE: Schema = {
    "type": "string",
    "description": "An encoded image in base64, or as a data URI with base64. No URL is fetched.",
}
_MODEL: Schema = {
    "type": ["string", "null"],
    "description": "The served model's name; without it, whichever is served.",
}
_ON_ERROR: Schema = {
    "enum": ["raise", "return", None],
    "description": 'With "return", an item that cannot be used has its error in its place.',
}
_DIMENSIONS: Schema = {
    "type": ["integer", "null"],
    "minimum": 0,
    "description": "The width of the embeddings, which the checkpoint decides; 0 for any.",
}


def _object(required: str = "", /, **properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def _list(items: Schema, least: int = 1, most: int = MOST_ITEMS) -> Schema:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def ref(name: str) -> Schema:
    """Refer to a schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def _is(value: object) -> Schema:
    return {"const": value}


def _part(url: Schema) -> Schema:
    """Return a part of a message: a text or an image."""
    text = _object("text", type=_is("text"), text=STRING)
    return {"anyOf": [text, _object("image_url", type=_is("image_url"), image_url=url)]}


def schemas() -> dict[str, Schema]:
    """Return the schemas by their names, as ``components`` of the document has them."""
    url = {"anyOf": [_IMAGE, _object("url", url=_IMAGE, detail=STRING)]}
    numbers = {"type": "array", "items": {"type": "number"}}
    vector = {"anyOf": [numbers, STRING], "description": "Numbers, or base64 of float32."}
    error = ref("Error")
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
        "label score", label=STRING, score={"type": "number", "minimum": 0, "maximum": 1}
    )
    classified = _object(
        "object index predictions",
        object=_is("classification"),
        index=_COUNT,
        predictions={"type": ["array", "null"], "items": prediction},
        error=error,
    )
    jina = {"anyOf": [STRING, _object("text", text=STRING), _object("image", image=_IMAGE)]}
    message = _object("content", role=STRING, content={"anyOf": [STRING, _list(_part(url))]})
    model = _object(
        "id object created owned_by checkpoint dimensions",
        id=STRING,
        object=_is("model"),
        created=_COUNT,
        owned_by=STRING,
        checkpoint=STRING,
        dimensions=_COUNT,
    )
    template = {
        "anyOf": [STRING, _list(STRING), {"type": "null"}],
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
            input={"anyOf": [STRING, _list(jina)]},
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
            model=STRING,
            usage=usage,
        ),
        "EmbedRequest": _object(
            model=_MODEL,
            texts=_list(STRING),
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
            id=STRING,
            response_type=_is("embeddings_by_type"),
            embeddings=_object(
                float=_list({"anyOf": [numbers, _object("error", error=error)]}),
                base64=_list({"anyOf": [STRING, _object("error", error=error)]}),
            ),
            texts=_list(STRING, least=0),
            meta=_object(
                "api_version billed_units",
                api_version=_object("version", version=STRING),
                billed_units=_object("images input_tokens", images=_COUNT, input_tokens=_COUNT),
            ),
        ),
        "ClassifyRequest": _object(
            "images labels",
            model=_MODEL,
            images=_list(_IMAGE),
            labels=_list(STRING),
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
            model=STRING,
            temperature={"type": "number", "exclusiveMinimum": 0},
            usage=usage,
        ),
        "HeatmapRequest": _object(
            "image texts",
            model=_MODEL,
            image=_IMAGE,
            texts=_list(STRING, most=MOST_MAPS),
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
                    text=STRING,
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
            model=STRING,
            usage=usage,
        ),
        "Model": model,
        "Models": _object("object data", object=_is("list"), data=_list(ref("Model"))),
        "Error": _object(
            "message type param code",
            message=STRING,
            type={
                "enum": [
                    "invalid_request_error",
                    "authentication_error",
                    "rate_limit_error",
                    "server_error",
                ]
            },
            param={"type": ["string", "null"], "description": "The part at fault: `input[3]`."},
            code=STRING,
        ),
        "Envelope": _object("error", error=error),
    }
