"""The real server answers labels of every kind."""

import numpy as np
import pytest
from photos import LABELS, TOLERANCE, disc_image

from align_client import AlignClient, InvalidInput


@pytest.fixture(scope="module")
def client(server):
    with AlignClient(server.grpc_url, timeout=60) as client:
        yield client


@pytest.fixture(autouse=True)
def still_answers(client):
    """Check after each test that the server still answers rightly."""
    yield
    assert client.ready(deep=True)


class TestLabels:
    @pytest.mark.parametrize(
        "labels, words",
        [
            ([], "no labels"),
            (["cat", ""], "label 1 is empty"),
            (["cat", "  "], "label 1 is blank"),
            (["cat", 7], "label 1 must be a str, not int"),
            ("cat", "not str"),
            (["cat", "\ud83d"], "label 1 holds a lone surrogate"),
            # Only the server can tell that its tokenizer makes no tokens of this text.
            (["cat", "cat", "dog", "\u200b\x01", "cow"], "^label 3: .*blank"),
            (["\u200b\x01"], "^label 0: .*blank"),
        ],
    )
    def test_a_label_that_cannot_be_used_is_named(self, client, labels, words):
        with pytest.raises(InvalidInput, match=words):
            client.classify(disc_image(), labels)

    def test_late_bad_text_is_named(self, client):
        texts = [f"text {i}" for i in range(150)]
        texts[120] = "\x01\x02"
        with pytest.raises(InvalidInput, match=r"^text 120: "):
            client.embed_text(texts)

    def test_duplicates_are_answered_and_counted_once(self, client):
        once = client.classify(disc_image(), LABELS)
        twice = client.classify(disc_image(), [LABELS[1], *LABELS, LABELS[1]])
        assert dict(twice) == pytest.approx(dict(once), abs=1e-6) and len(twice) == 3

    def test_a_text_asked_for_twice_has_two_rows(self, client):
        rows = client.embed_text(["a cat", "a dog", "a cat"])
        assert np.array_equal(rows[0], rows[2])
        assert client.similarity(disc_image(), ["a cat", "a dog", "a cat"]).shape == (1, 3)

    def test_long_label_is_truncated_as_by_tokenizer(self, client):
        long, shorter = "circle " * 1428 + "circ", "circle " * 600
        assert len(long) == 10_000
        rows = client.embed_text([long, shorter])
        assert np.abs(rows[0] - rows[1]).max() < TOLERANCE
        assert len(client.classify(disc_image(), [long, "a red circle"])) == 2

    @pytest.mark.parametrize("label", ["ein großer Hund", "赤い丸", "🔴", "a {} {0}", "a\x00b"])
    def test_any_language_and_sign(self, client, label):
        answer = client.classify(disc_image(), [label, "a red circle"], template="a photo of {}")
        assert {p.label for p in answer} == {label, "a red circle"}
