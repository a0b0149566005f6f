"""/openapi.json: valid, and what the server does."""

import contextlib
import http.client as http_client
import json

import pytest
from doors import open_doors
from jsonschema import Draft202012Validator
from messages import Reply, http
from openapi_spec_validator import validate
from rest_calls import data_uri, sample

from align_zoo.serving.gateway import http_body
from align_zoo.serving.gateway.rest import openapi
from align_zoo.serving.gateway.rest.inference import Inference

IMAGE = data_uri(sample("red-star"))
USER = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}]}
RETURN = {"on_error": "return"}

# Accepted requests of each path; together they have every field.
ACCEPTED = {
    "/v1/embeddings": [
        {"input": "a star", "model": "align_tiny", "user": "me", "dimensions": 128},
        {"input": ["a star", "a ring"], "encoding_format": "base64", "modality": "text"},
        {"input": [IMAGE, "http://a/b"], "modality": "image", **RETURN},
        {"input": [{"text": "a"}, {"image": IMAGE}], "normalized": True, "embedding_type": "float"},
        {"messages": [USER]},
        {"messages": [{"role": "user", "content": "a star"}], "model": None},
    ],
    "/v2/embed": [
        {"texts": ["a star"], "input_type": "search_query", "model": "align_tiny"},
        {"images": [IMAGE], "input_type": "image", "output_dimension": 128},
        {"inputs": [{"content": [{"type": "text", "text": "a star"}]}], "truncate": "END"},
        {"texts": ["a star", ""], "embedding_types": ["float", "base64"], **RETURN},
    ],
    "/v1/classify": [
        {"images": [IMAGE], "labels": ["star", "ring"], "model": "align_tiny"},
        {"images": [IMAGE, ""], "labels": ["star"], "template": "a {}", "top_k": 1, **RETURN},
        {"images": [IMAGE], "labels": ["star"], "none": "something else", "prompts": "photo"},
        {"images": [IMAGE], "labels": ["star"], "template": ["a {}", "{}"], "prompts": None},
    ],
    "/v1/heatmap": [
        {"image": IMAGE, "texts": ["a star", "a ring"], "model": "align_tiny"},
        {"image": IMAGE, "texts": ["a star"], "against": "a ring", "template": "a {}"},
        {"image": IMAGE, "texts": ["a star"], "template": ["a {}", "{}"]},
        {"image": IMAGE, "texts": ["a star"], "prompts": "imagenet"},
    ],
}
# Requests that are not accepted by their form alone.
REFUSED = {
    "/v1/embeddings": [
        {},
        {"input": []},
        {"input": [1, 2]},
        {"input": [{"text": "a", "image": "b"}]},
        {"input": "a", "messages": [USER]},
        {"input": "a", "modality": "audio"},
        {"input": "a", "encoding_format": "int8"},
        {"input": "a", "prompt": "b"},
        {"input": "a", "dimensions": -1},
        {"input": "a", "on_error": "skip"},
        {"input": "a", "normalized": False},
        {"messages": [{"role": "user", "content": [{"type": "video_url"}]}]},
        {"input": ["a"] * 2049},
    ],
    "/v2/embed": [
        {},
        {"texts": ["a"], "images": [IMAGE]},
        {"texts": ["a"], "embedding_types": ["int8"]},
        {"texts": ["a"], "truncate": "START"},
        {"texts": "a"},
        {"inputs": [{"content": []}]},
    ],
    "/v1/classify": [
        {"images": [IMAGE]},
        {"labels": ["star"]},
        {"images": IMAGE, "labels": ["star"]},
        {"images": [IMAGE], "labels": [7]},
        {"images": [IMAGE], "labels": ["star"], "top_k": 0},
        {"images": [IMAGE], "labels": ["star"], "template": []},
        {"images": [IMAGE], "labels": ["star"], "prompts": "clip"},
    ],
    "/v1/heatmap": [
        {"image": IMAGE},
        {"texts": ["a star"]},
        {"image": IMAGE, "texts": []},
        {"image": IMAGE, "texts": "a star"},
        {"image": IMAGE, "texts": ["a star"] * 257},
    ],
}


@pytest.fixture(scope="module")
def document(doors):
    return json.loads(http(doors.gateway.http_port, "/openapi.json").body)


def schema_of(document, holder):
    """The validator of a request's or response's JSON."""
    schema = holder["content"]["application/json"]["schema"]
    return Draft202012Validator({**schema, "components": document["components"]})


def operations(document):
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_document_is_valid(document):
    validate(document)


def test_document_names_every_path_and_no_other(document, doors):
    known = json.loads(http(doors.gateway.http_port, "/v1/x").body)["error"]["message"]
    assert {*document["paths"]} == {*known.partition("there are ")[2].split(", ")}


@pytest.mark.parametrize("path", ACCEPTED)
def test_accepted_requests_and_their_answers_fit(document, doors, post, path):
    operation = document["paths"][path]["post"]
    asked = schema_of(document, operation["requestBody"])
    answered = schema_of(document, operation["responses"]["200"])
    for found in ACCEPTED[path]:
        asked.validate(found)
        status, answer = post(doors, path, found)
        assert status == 200, answer
        answered.validate(answer)
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    fields = document["components"]["schemas"][reference.rpartition("/")[2]]["properties"]
    assert {*fields} == {name for found in ACCEPTED[path] for name in found}


@pytest.mark.parametrize("path", REFUSED)
def test_refused_requests_do_not_fit(document, doors, post, path):
    asked = schema_of(document, document["paths"][path]["post"]["requestBody"])
    for found in REFUSED[path]:
        assert not asked.is_valid(found), found
        assert post(doors, path, found)[0] == 400, found


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/models/{model}", "/v1/health", "/openapi.json"]
)
def test_read_answers_fit(document, doors, path):
    schema = schema_of(document, document["paths"][path]["get"]["responses"]["200"])
    named = path.format(model="align_tiny")
    schema.validate(json.loads(http(doors.gateway.http_port, named).body))


# How a real response of each status comes about: the gateway's options, the headers and the fields
# of the request.
OPTIONS = {413: {"max_message_bytes": 10}, 429: {"queue_seconds": -1.0}}
HEADERS = {415: {"Content-Encoding": "br"}, 504: {"Align-Timeout": "0.1"}}
FIELDS = {400: {"prompt": "b"}, 404: {"model": "nobody"}}


@pytest.fixture
def reply_of(loop, sockets, held, tmp_path, monkeypatch):
    """Return a real response of a status."""

    def get(status, method, path):
        options = dict(OPTIONS.get(status, {}))
        if status == 401:
            options["token_file"] = tmp_path / "tokens"
            options["token_file"].write_text("secret")
        if status == 408:
            monkeypatch.setattr(http_body, "_SECONDS", 0.1)
        if status == 500:
            monkeypatch.setattr(Inference, "rows", None)
        with contextlib.ExitStack() as stack:
            doors = stack.enter_context(open_doors(loop, sockets, **options))
            if status == 503:
                doors.unset("it restarts")
                doors.well = False
            if status == 504:
                stack.enter_context(held())
            return send(doors.gateway.http_port, status, method, path)

    return get


def send(port, status, method, path):
    body = None
    if method == "POST":
        body = json.dumps({**ACCEPTED[path][0], **FIELDS.get(status, {})}).encode()
    headers = HEADERS.get(status, {})
    path = path.format(model="nobody")
    if status != 408:
        return http(port, path, body, method=method, headers=headers)
    connection = http_client.HTTPConnection("127.0.0.1", port)
    with contextlib.closing(connection):
        # All of the body but its end comes.
        connection.request(method, path, body[:-1], {"Content-Length": str(len(body))})
        answer = connection.getresponse()
        return Reply(answer.status, dict(answer.headers), answer.read())


def named_statuses():
    return [
        (method, path, int(status))
        for (method, path), operation in operations(openapi.document()).items()
        for status in operation["responses"]
        if status != "200"
    ]


@pytest.mark.parametrize(("method", "path", "status"), named_statuses())
def test_error_of_each_status_fits(document, reply_of, method, path, status):
    reply = reply_of(status, method, path)
    assert reply.status == status
    responses = document["paths"][path][method.lower()]["responses"]
    schema_of(document, responses[str(status)]).validate(json.loads(reply.body))
    assert ("Retry-After" in reply.headers) == (status in (429, 503) and path != "/v1/health")
