"""on_error="return" puts the error of an item in the place of its answer; with the real server."""

import json

import numpy as np
import pytest
from PIL import Image
from scripted import Scripted

from align_client import AlignClient, AlignClientError, InvalidInput, Overloaded, ServerUnavailable

RED, BLUE = (Image.new("RGB", (60, 60), colour) for colour in ("red", "blue"))
BATCH = [RED, b"these are words", BLUE, "nowhere.jpg", None]
LABELS = ["a red square", "a blue square"]
WORDS = {1: "image 1: .*accepted format", 3: "image 3: .*does not exist", 4: "image 4: None is not"}


@pytest.fixture(scope="module")
def client(server):
    with AlignClient(server.grpc_url, timeout=60) as client:
        yield client


def assert_bad(answers, words):
    """Check which answers are errors, and their messages."""
    assert {i for i, a in enumerate(answers) if isinstance(a, AlignClientError)} == set(words)
    for i, text in words.items():
        with pytest.raises(InvalidInput, match=f"^{text}"):
            raise answers[i]


def test_classify_answers_the_good_images(client):
    answers = client.classify(BATCH, LABELS, on_error="return")
    assert_bad(answers, WORDS)
    for i, answer in zip((0, 2), client.classify([RED, BLUE], LABELS), strict=True):
        assert dict(answers[i]) == pytest.approx(dict(answer), abs=1e-3)


def test_similarity_answers_the_good_images(client):
    answers = client.similarity(BATCH, LABELS, on_error="return")
    assert_bad(answers, WORDS)
    rows = np.stack([answers[0], answers[2]])
    assert rows == pytest.approx(client.similarity([RED, BLUE], LABELS), abs=1e-5)


def test_embed_image_answers_the_good_images(client):
    answers = client.embed_image(BATCH, on_error="return")
    assert_bad(answers, WORDS)
    rows = np.stack([answers[0], answers[2]])
    assert np.abs(rows - client.embed_image([RED, BLUE])).max() < 1e-5


def test_embed_text_answers_the_good_texts(client):
    texts = [f"text {i}" for i in range(150)]
    bad = {3: "text 3 is empty", 7: "text 7 must be a str", 90: "text 90 .*surrogate"}
    # Only the server can find these, and it names one for each request.
    bad |= {i: f"text {i}: .*blank" for i in (0, 1, 60, 149)}
    texts[3], texts[7], texts[90] = "", None, "\ud83d"
    for i in (0, 1, 60, 149):
        texts[i] = "\x01" * (i + 1)
    answers = client.embed_text(texts, on_error="return")
    assert_bad(answers, bad)
    good = [i for i in range(150) if i not in bad]
    rows = np.stack([answers[i] for i in good])
    assert np.abs(rows - client.embed_text([texts[i] for i in good])).max() < 1e-5


def test_each_vector_is_the_caller_s_own(client):
    vectors = client.embed_text(["a", "b", "a"], on_error="return")
    vectors += client.embed_image([RED, RED], on_error="return")
    assert all(vector.flags.owndata and vector.flags.writeable for vector in vectors)
    assert len(set(map(id, vectors))) == 5


@pytest.mark.parametrize("bad", [b"words", "nowhere.jpg"])
def test_a_single_image_is_answered_with_its_error(client, bad):
    assert isinstance(client.classify(bad, LABELS, on_error="return"), InvalidInput)
    (error,) = client.embed_image(bad, on_error="return")
    assert isinstance(error, InvalidInput) and "image 0" not in str(error)


def test_only_bad_items_return_only_errors(client):
    answers = client.classify([b"words", b"more words"], LABELS, on_error="return")
    assert_bad(answers, {0: "image 0: ", 1: "image 1: "})
    assert_bad(client.embed_text(["", " "], on_error="return"), {0: "text 0 is", 1: "text 1 is"})


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.classify(BATCH, ["cat", "\x01"], on_error="return"),
        lambda c: c.classify(BATCH, [], on_error="return"),
        lambda c: c.classify(BATCH, LABELS, template="none", on_error="return"),
        lambda c: c.classify([], LABELS, on_error="return"),
        lambda c: c.similarity(BATCH, "\x01", on_error="return"),
        lambda c: c.embed_text([], on_error="return"),
        lambda c: c.embed_image(RED, on_error="ignore"),
        lambda c: c.embed_text("a", on_error=None),
    ],
)
def test_error_of_no_single_item_is_raised(client, call):
    with pytest.raises(InvalidInput):
        call(client)


def test_server_errors_are_returned_too():
    with Scripted() as server, AlignClient(server.url, retries=False) as client:
        server.refuse("RESOURCE_EXHAUSTED", "overloaded: queue", times=3)
        answers = client.embed_image([b"image"] * 10, on_error="return")
        assert sum(isinstance(a, Overloaded) for a in answers) == 3
        assert sum(isinstance(a, np.ndarray) for a in answers) == 7
        server.stop()
        for call, items in ((client.embed_image, [b"a", b"b"]), (client.embed_text, ["a", "b"])):
            answers = call(items, on_error="return")
            assert [type(answer) for answer in answers] == [ServerUnavailable] * 2


class Compared(str):
    """A text; the class counts all comparisons."""

    times = 0
    __hash__ = str.__hash__

    def __eq__(self, other):
        Compared.times += 1
        return str.__eq__(self, other)


def test_failing_texts_take_linear_time():
    texts = [Compared(f"a photo of thing {i}") for i in range(500)]
    with Scripted() as server, AlignClient(server.url, retries=False) as client:
        server.refuse("RESOURCE_EXHAUSTED", "overloaded: queue", times=500)
        answers = client.embed_text(texts, on_error="return")
    assert all(isinstance(answer, Overloaded) for answer in answers)
    assert Compared.times < 30 * len(texts)


def test_good_images_are_of_one_checkpoint(puppets):
    old, new = ({"checkpoint": c, "embedding": e} for c, e in (("old", [1, 0]), ("new", [0, 1])))
    batch = [json.dumps(new).encode(), "nowhere.jpg", json.dumps([old, new]).encode()]
    with AlignClient(puppets.url) as client:
        answers = client.embed_image(batch, on_error="return")
    assert_bad(answers, {1: "image 1: "})
    assert answers[0].tolist() == answers[2].tolist() == [0, 1]
