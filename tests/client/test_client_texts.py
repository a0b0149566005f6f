"""How texts are split into requests, and which text an error names."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Scripted
from tritonclient.grpc import service_pb2 as pb

from align_client import AlignClient, InvalidInput, ModelUnavailable
from align_client.rules import BadItem, bad_item
from align_zoo.errors import InvalidText
from align_zoo.serving.model.answer import refused_item


@pytest.fixture
def server():
    with Scripted() as server:
        yield server


@pytest.fixture
def client(server):
    with AlignClient(server.url, max_in_flight=1) as client:
        yield client


def test_texts_of_similar_length_share_a_request(server, client):
    client.embed_text([letter * length for letter in "abcdefgh" for length in (1, 1000)])
    short, long = (size for _, _, size in server.requests)
    assert short < 1000 and long > 8000


def test_duplicate_text_is_sent_once(server, client):
    assert client.embed_text(["a", "b", "a"]).shape == (3, 2)
    ((_, _, twice),) = server.requests
    client.embed_text(["a", "b"])
    assert server.requests[1][2] == twice


@pytest.mark.parametrize("texts", [["a", ""], ["a", None], ["a", "\ud800"]])
def test_bad_text_is_named_before_sending(server, client, texts):
    for call in (client.embed_text, lambda texts: client.similarity(b"image", texts)):
        with pytest.raises(InvalidInput, match=r"^text 1 "):
            call(texts)
    assert not server.requests


def test_refused_text_is_named_by_first_index(server, client):
    server.refuse("INVALID_ARGUMENT", "item 0: bad")
    with pytest.raises(InvalidInput, match=r"^text 1: bad "):
        client.embed_text(["good", "a", "a"])
    assert len(server.requests) == 1


def test_model_without_batching_breaks_contract():
    class One(Scripted):
        def _config(self, request):
            return pb.ModelConfigResponse()

    with (
        One() as server,
        AlignClient(server.url) as client,
        pytest.raises(ModelUnavailable, match=r"align-zoo's contract: it does not batch"),
    ):
        client.embed_text("a")


@pytest.mark.parametrize("words", ["these are too many", "item 2: there is none"])
def test_error_of_whole_request_is_unchanged(server, client, words):
    server.refuse("INVALID_ARGUMENT", words)
    with pytest.raises(InvalidInput) as caught:
        client.embed_text(["a", "b"])
    assert caught.value.message == words


def test_error_of_whole_request_is_returned_per_text(server, client):
    server.refuse("INVALID_ARGUMENT", "these are too many")
    answers = client.embed_text(
        [letter * n for n in (1, 2) for letter in "abcdefgh"], on_error="return"
    )
    assert [type(answer) for answer in answers] == [InvalidInput] * 8 + [np.ndarray] * 8


def test_temperature_is_the_server_s(client):
    assert client.temperature() == 0.5


@given(
    index=st.integers(0, 10**6),
    reason=st.text(st.characters(exclude_categories=["Cs"])),
)
def test_server_and_client_share_bad_item_grammar(index, reason):
    refused = refused_item(index, InvalidText(reason, "blank"))
    assert bad_item(InvalidInput(str(refused))) == BadItem(index, reason)
    assert (type(refused), refused.reason) == (InvalidText, "blank")
