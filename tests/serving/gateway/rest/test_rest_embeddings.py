"""/v1/embeddings and /v2/embed: each spelling has the rows that gRPC has."""

import dataclasses
import json
from functools import partial
from urllib.parse import quote

import numpy as np
import pytest
from doors import SERVED
from messages import http, message
from rest_calls import TEXTS, data_uri, encoded, output, rows, vector

OPENAI, COHERE = "/v1/embeddings", "/v2/embed"


def user(content):
    return [{"role": "user", "content": content}]


def image_part(uri):
    return {"type": "image_url", "image_url": {"url": uri}}


# The request for an image, given as a data URI, in each spelling that has images.
OF_AN_IMAGE = {
    "infinity": lambda uri: {"input": [uri], "modality": "image"},
    "infinity-one": lambda uri: {"input": uri, "modality": "image", "dimensions": 0},
    "infinity-unnamed": lambda uri: {
        "input": [uri],
        "modality": "image",
        "model": "default/not-specified",
    },
    "vllm": lambda uri: {"messages": user([image_part(uri)])},
    "vllm-plain-url": lambda uri: {"messages": user([{"type": "image_url", "image_url": uri}])},
    "jina": lambda uri: {"input": [{"image": uri}], "normalized": True},
    "jina-base64": lambda uri: {"input": [{"image": uri.partition(",")[2]}]},
}
# The same for a text.
OF_A_TEXT = {
    "openai": lambda text: {"input": [text], "model": "align_tiny", "user": "me"},
    "openai-one": lambda text: {"input": text, "dimensions": 128},
    "openai-null": lambda text: {"input": [text], "model": None, "dimensions": None},
    "infinity": lambda text: {"input": [text], "modality": "text"},
    "vllm": lambda text: {"messages": user(text)},
    "vllm-part": lambda text: {"messages": user([{"type": "text", "text": text}])},
    "jina": lambda text: {"input": [{"text": text}]},
}


@pytest.mark.parametrize("spelled", OF_AN_IMAGE.values(), ids=OF_AN_IMAGE)
def test_image_has_the_row_of_grpc(ask, images, over_grpc, spelled):
    answer = ask(OPENAI, spelled(data_uri(images[0])))
    np.testing.assert_allclose(rows(answer), over_grpc(images[:1]), atol=1e-6)
    assert answer["usage"] == {"prompt_tokens": 0, "total_tokens": 0}


@pytest.mark.parametrize("spelled", OF_A_TEXT.values(), ids=OF_A_TEXT)
def test_text_has_the_row_of_grpc(ask, over_grpc, spelled):
    answer = ask(OPENAI, spelled("a red star"))
    np.testing.assert_allclose(rows(answer), over_grpc(["a red star"]), atol=1e-6)
    assert answer["model"] == "align_tiny"


@pytest.mark.parametrize("encoding", ["float", "base64", None])
@pytest.mark.parametrize("name", ["encoding_format", "embedding_type"])
def test_encodings_have_the_same_rows(ask, over_grpc, encoding, name):
    answer = ask(OPENAI, {"input": TEXTS, name: encoding})
    np.testing.assert_array_equal(rows(answer).astype("<f4"), over_grpc(TEXTS))
    assert {type(each["embedding"]) for each in answer["data"]} == {
        str if encoding == "base64" else list
    }


def test_texts_and_images_keep_their_order(ask, images, over_grpc):
    mixed = [
        {"text": TEXTS[0]},
        {"image": data_uri(images[0])},
        TEXTS[1],
        {"image": encoded(images[1])},
    ]
    texts, image_rows = over_grpc(TEXTS[:2]), over_grpc(images[:2])
    expected = [texts[0], image_rows[0], texts[1], image_rows[1]]
    np.testing.assert_allclose(rows(ask(OPENAI, {"input": mixed})), expected, atol=1e-6)


@pytest.mark.parametrize("count", [64, 65, 150])
def test_more_than_a_batch_keeps_its_order(ask, over_grpc, count):
    texts = [f"{i} stars" for i in range(count)]
    expected = np.concatenate([over_grpc(texts[i : i + 64]) for i in range(0, count, 64)])
    np.testing.assert_allclose(rows(ask(OPENAI, {"input": texts})), expected, atol=1e-6)


def test_more_images_than_a_batch(ask, images, over_grpc):
    given = [data_uri(images[i % 3]) for i in range(35)]
    expected = over_grpc(images)[[i % 3 for i in range(35)]]
    answer = ask(OPENAI, {"input": given, "modality": "image"})
    np.testing.assert_allclose(rows(answer), expected, atol=1e-6)


def test_usage_counts_the_tokens_read(ask, stub):
    texts = ["star", "a photo of a red star", "photo " * 100]
    tokens = output(
        stub.ModelInfer(message("align_text", [t.encode() for t in texts])), "TOKENS", "<i4"
    )
    assert len(set(tokens)) == 3 and max(tokens) == 64
    for found in (texts, [{"text": each} for each in texts]):
        usage = ask(OPENAI, {"input": found})["usage"]
        assert usage == {"prompt_tokens": sum(tokens), "total_tokens": sum(tokens)}


COHERE_IMAGES = {
    "images": lambda uri: {"images": [uri], "input_type": "image"},
    "inputs": lambda uri: {"inputs": [{"content": [image_part(uri)]}], "input_type": "image"},
}


@pytest.mark.parametrize("spelled", COHERE_IMAGES.values(), ids=COHERE_IMAGES)
def test_cohere_has_the_row_of_image(ask, images, over_grpc, spelled):
    answer = ask(COHERE, {"model": "align_tiny", **spelled(data_uri(images[0]))})
    np.testing.assert_allclose(answer["embeddings"]["float"], over_grpc(images[:1]), atol=1e-6)
    assert answer["texts"] == []
    assert answer["meta"]["billed_units"] == {"images": 1, "input_tokens": 0}


COHERE_TEXTS = {
    "texts": {"texts": TEXTS},
    "inputs": {"inputs": [{"content": [{"type": "text", "text": text}]} for text in TEXTS]},
}


@pytest.mark.parametrize("spelled", COHERE_TEXTS.values(), ids=COHERE_TEXTS)
@pytest.mark.parametrize("formats", [["float"], ["base64"], ["float", "base64"]], ids="+".join)
def test_cohere_has_the_rows_of_texts(ask, over_grpc, spelled, formats):
    asked = {"input_type": "search_query", "truncate": "END", "embedding_types": formats}
    answer = ask(COHERE, {**asked, **spelled})
    assert list(answer["embeddings"]) == formats
    for found in answer["embeddings"].values():
        np.testing.assert_allclose([vector(each) for each in found], over_grpc(TEXTS), atol=1e-6)
    assert answer["texts"] == TEXTS
    usage = ask(OPENAI, {"input": TEXTS})["usage"]["total_tokens"]
    assert answer["meta"]["billed_units"] == {"images": 0, "input_tokens": usage}


def test_model_is_listed(doors):
    reply = http(doors.gateway.http_port, "/v1/models")
    assert reply.status == 200
    (model,) = json.loads(reply.body)["data"]
    assert (model["id"], model["object"], model["dimensions"]) == ("align_tiny", "model", 128)


@pytest.mark.parametrize("name", ["align_tiny", "kakaobrain/align-base"])
@pytest.mark.parametrize("quoting", [str, partial(quote, safe="")], ids=["plain", "quoted"])
def test_model_is_retrieved_by_its_name(own_doors, name, quoting):
    doors = own_doors()
    served = dataclasses.replace(SERVED, name=name)
    backend = dataclasses.replace(doors.backends.current, served=served)
    doors.loop.call(doors.backends.set, backend)
    listed = json.loads(http(doors.gateway.http_port, "/v1/models").body)["data"]
    reply = http(doors.gateway.http_port, f"/v1/models/{quoting(name)}")
    assert reply.status == 200
    assert [json.loads(reply.body)] == listed


@pytest.mark.parametrize("name", ["other", "", "align_tiny/", "%00", "{model}"])
def test_other_model_is_not_retrieved(doors, name):
    reply = http(doors.gateway.http_port, f"/v1/models/{name}")
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"], error["param"]) == (404, "unknown_model", "model")
    assert "it is 'align_tiny'" in error["message"]


def test_answer_names_its_checkpoint(doors, stub):
    reply = http(doors.gateway.http_port, OPENAI, b'{"input": "a star"}')
    answer = stub.ModelInfer(message("align_text", [b"a star"]))
    checkpoint = output(answer, "CHECKPOINT", "u1").tobytes()[4:].decode()
    assert reply.headers["Align-Checkpoint"] == checkpoint


def test_request_id_comes_back(doors):
    headers = {"Align-Request-Id": "mine"}
    reply = http(doors.gateway.http_port, OPENAI, b'{"input": "a star"}', headers=headers)
    assert reply.headers["Align-Request-Id"] == "mine"
