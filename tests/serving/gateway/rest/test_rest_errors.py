"""What is not accepted: named by its place, in OpenAI's envelope."""

import json

import numpy as np
import pytest
from messages import http
from rest_calls import TEXTS, data_uri, encoded, rows, sample, vector

EMBED, COHERE = "/v1/embeddings", "/v2/embed"
GOOD = sample("red-star")
IMAGE = {"modality": "image"}


def part(kind="text", **fields):
    return {"type": kind, **fields}


MALFORMED = {
    "no-json": (b"{", None, "the body is not JSON"),
    "no-utf8": (b'{"input": "\xff"}', None, "the body is not JSON"),
    "surrogate": (b'{"input": "\\ud800"}', None, "the body is not JSON"),
    "nan": (b'{"input": NaN}', None, "the body is not JSON"),
    "empty-body": (b"", None, "the body is not JSON"),
    "brackets": (b'{"input": ' + b"[" * 30_000, None, "too many values"),
    "commas": (b'{"input": [1' + b",1" * 200_000 + b"]}", None, "too many values"),
    "deep": (b'{"input": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", None, "the body is not JSON"),
    "list": ([], None, "the body must be an object of JSON"),
    "no-input": ({}, "input", "has no input"),
    "empty-list": ({"input": []}, "input", "0 items"),
    "too-many": ({"input": ["a"] * 2049}, "input", "2049 items"),
    "number": ({"input": 7}, "input", "must be a list"),
    "tokens": ({"input": [1, 2, 3]}, "input", "another tokenizer"),
    "tokens-of-two": ({"input": [[1], [2, 3]]}, "input", "check_embedding_ctx_length=False"),
    "null-item": ({"input": ["a", None]}, "input[1]", "must be an object"),
    "unknown-field": ({"input": "a", "prompt": "b"}, "prompt", "'prompt' is not known"),
    "url-field": ({"input": [{"url": "x"}]}, "input[0].url", "known are text, image"),
    "two-in-one": ({"input": [{"text": "a", "image": "b"}]}, "input[0].text", "has both"),
    "none-in-one": ({"input": [{}]}, "input[0].text", "has no input"),
    "no-string": ({"input": [{"text": 7}]}, "input[0].text", "must be a string"),
    "audio": ({"input": "a", "modality": "audio"}, "modality", '"text" or "image"'),
    "no-modality": ({"input": [data_uri(GOOD)]}, "modality", 'add "modality": "image"'),
    "encoding": ({"input": "a", "encoding_format": "int8"}, "encoding_format", '"base64"'),
    "width": ({"input": "a", "dimensions": 64}, "dimensions", "the checkpoint has 128"),
    "width-below": ({"input": "a", "dimensions": -1}, "dimensions", "a whole number"),
    "width-true": ({"input": "a", "dimensions": True}, "dimensions", "a whole number"),
    "not-normal": ({"input": "a", "normalized": False}, "normalized", "must be true"),
    "on-error": ({"input": "a", "on_error": "skip"}, "on_error", '"raise" or "return"'),
    "both": ({"input": "a", "messages": []}, "input", "has both"),
    "no-messages": ({"messages": []}, "messages", "0 items"),
    "two-parts": (
        {"messages": [{"content": [part(text="a"), part(text="b")]}]},
        "messages",
        "2 texts and images",
    ),
    "video": (
        {"messages": [{"content": [part("video_url")]}]},
        "messages[0].content[0].type",
        '"image_url"',
    ),
    "no-url": (
        {"messages": [{"content": [part("image_url", image_url={})]}]},
        "messages[0].content[0].image_url.url",
        "must be a string",
    ),
}


@pytest.mark.parametrize(("sent", "param", "words"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_request_names_its_field(fault, sent, param, words):
    error = fault(EMBED, sent)
    assert (error["param"], words in error["message"]) == (param, True), error
    assert (error["type"], error["code"]) == ("invalid_request_error", "malformed")


COHERES = {
    "nothing": ({}, "texts", "has no input"),
    "both": ({"texts": ["a"], "images": ["b"]}, "texts", "both texts and images"),
    "int8": ({"texts": ["a"], "embedding_types": ["int8"]}, "embedding_types", "float and base64"),
    "width": (
        {"texts": ["a"], "output_dimension": 256},
        "output_dimension",
        "the checkpoint has 128",
    ),
    "start": ({"texts": ["a"], "truncate": "START"}, "truncate", '"END"'),
    "purpose": ({"texts": ["a"], "input_type": "fun"}, "input_type", '"search_query"'),
    "fused": (
        {"inputs": [{"content": [part(text="a"), part(text="b")]}]},
        "inputs[0]",
        "an input of its own",
    ),
}


@pytest.mark.parametrize(("sent", "param", "words"), COHERES.values(), ids=COHERES)
def test_malformed_request_of_cohere_is_named(fault, sent, param, words):
    error = fault(COHERE, sent)
    assert (error["param"], words in error["message"]) == (param, True), error


BAD_IMAGES = {
    "http": ("http://127.0.0.1:1/star.png", "url", "no URL is fetched here"),
    "https": ("HTTPS://localhost/star.png", "url", "no URL is fetched here"),
    "file": ("file:///etc/passwd", "url", "no URL is fetched here"),
    "s3": (" s3://bucket/star.png", "url", "no URL is fetched here"),
    "plain-data": ("data:image/png,abc", "base64", "has no base64"),
    "text-data": ("data:text/html;base64,QUJD", "base64", "which is no image's"),
    "path": ("star.png", "base64", "not base64"),
    "cut": (encoded(GOOD)[:-3] + "*", "base64", "not base64"),
    "padding-within": ("QQ==QUJD", "base64", "not base64"),
    "accents": ("QUJé", "base64", "not base64"),
    "no-image": (encoded(b"no image"), "format", "not an image"),
    "damaged": (encoded(GOOD[:-60]), "damaged", "damaged"),
    "empty": ("", "empty", "is empty"),
    "empty-data": ("data:image/png;base64,", "empty", "is empty"),
}


@pytest.mark.parametrize(("value", "code", "words"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_image_is_named(fault, value, code, words):
    error = fault(EMBED, {"input": [data_uri(GOOD), value], **IMAGE})
    assert (error["param"], error["code"]) == ("input[1]", code), error
    assert error["message"].startswith("input[1]: ") and words in error["message"]


@pytest.mark.parametrize(("value", "code", "words"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_error_stands_in_place_of_its_image(ask, over_grpc, value, code, words):
    answer = ask(EMBED, {"input": [data_uri(GOOD), value, value], "on_error": "return", **IMAGE})
    first, bad, again = answer["data"]
    np.testing.assert_allclose(vector(first["embedding"]), over_grpc([GOOD])[0], atol=1e-6)
    assert (bad["embedding"], bad["error"]["code"]) == (None, code)
    assert (bad["error"]["param"], again["error"]["param"]) == ("input[1]", "input[2]")


def test_errors_among_many_batches_keep_their_places(ask, over_grpc):
    texts = ["" if i % 50 == 7 else f"{i} stars" for i in range(200)]
    answer = ask(EMBED, {"input": texts, "on_error": "return"})
    bad = {i for i, text in enumerate(texts) if not text}
    assert {each["index"] for each in answer["data"] if "error" in each} == bad
    found = np.stack([vector(each["embedding"]) for each in answer["data"] if "error" not in each])
    sound = [text for text in texts if text]
    expected = np.concatenate([over_grpc(sound[i : i + 64]) for i in range(0, len(sound), 64)])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_first_bad_item_of_many_is_named(fault):
    texts = ["" if i in (70, 130) else f"{i} stars" for i in range(200)]
    assert fault(EMBED, {"input": texts})["param"] == "input[70]"


def test_bad_items_alone_need_no_model(ask):
    answer = ask(EMBED, {"input": ["http://a/b"], "on_error": "return", **IMAGE})
    assert [each["embedding"] for each in answer["data"]] == [None]


def test_cohere_has_errors_in_place(ask):
    asked = {"texts": ["a star", ""], "on_error": "return", "embedding_types": ["float", "base64"]}
    found = ask(COHERE, asked)["embeddings"]
    assert found["float"][1] == found["base64"][1]
    assert found["float"][1]["error"]["param"] == "texts[1]"


BASE64S = {
    "lines": lambda text: "\n".join(text[i : i + 76] for i in range(0, len(text), 76)) + "\n",
    "unpadded": lambda text: text.rstrip("="),
    "of-urls": lambda text: text.replace("+", "-").replace("/", "_"),
    "quoted": lambda text: "data:image/png;base64," + text.replace("+", "%2B").replace("=", "%3D"),
    "upper-case": lambda text: "DATA:image/png;BASE64," + text,
    "parameters": lambda text: "data:image/png;name=a.png;base64," + text,
    "untyped": lambda text: "data:;base64," + text,
    "bytes": lambda text: "data:application/octet-stream;base64," + text,
}


@pytest.mark.parametrize("written", BASE64S.values(), ids=BASE64S)
def test_base64_is_read_however_written(ask, over_grpc, written):
    answer = ask(EMBED, {"input": [written(encoded(GOOD))], **IMAGE})
    np.testing.assert_allclose(rows(answer), over_grpc([GOOD]), atol=1e-6)


def test_text_may_look_like_an_image(ask, over_grpc):
    text = data_uri(b"abc")
    answer = ask(EMBED, {"input": [text], "modality": "text"})
    np.testing.assert_allclose(rows(answer), over_grpc([text]), atol=1e-6)


def test_text_may_be_a_url(ask, over_grpc):
    url = "http://localhost/star"
    np.testing.assert_allclose(rows(ask(EMBED, {"input": url})), over_grpc([url]), atol=1e-6)


@pytest.mark.parametrize("path", [EMBED, COHERE, "/v1/classify"])
def test_other_model_is_not_found(doors, post, path):
    asked = {
        EMBED: {"input": TEXTS},
        COHERE: {"texts": TEXTS},
        "/v1/classify": {"images": [encoded(GOOD)], "labels": TEXTS},
    }[path]
    status, answer = post(doors, path, {**asked, "model": "text-embedding-3-small"})
    assert (status, answer["error"]["code"]) == (404, "unknown_model")
    assert "it is 'align_tiny'" in answer["error"]["message"]


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/chat/completions", "/v2/embed/x", "/v1x"])
def test_unknown_call_is_not_found(doors, path):
    reply = http(doors.gateway.http_port, path, b"{}")
    assert reply.status == 404


def test_unknown_call_below_v1_is_in_the_envelope(doors, post):
    status, answer = post(doors, "/v1/chat/completions", {})
    assert (status, answer["error"]["code"]) == (404, "unknown_call")
    assert "/v1/embeddings" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", EMBED, "POST"),
        ("PUT", COHERE, "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("DELETE", "/v1/models/align_tiny", "GET, HEAD"),
        ("DELETE", "/openapi.json", "GET, HEAD"),
    ],
)
def test_wrong_method_names_the_right_one(doors, method, path, allowed):
    reply = http(doors.gateway.http_port, path, method=method)
    assert (reply.status, reply.headers["Allow"]) == (405, allowed)
    assert json.loads(reply.body)["error"]["code"] == "method"
