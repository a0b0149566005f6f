"""A search in one line: what it is read as, and the vector that it becomes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_folders import SAMPLES

from align_zoo.collection.query import Term, embed_terms, read_query, weighted_sum
from align_zoo.errors import InvalidInput

WORDS = st.from_regex(r"[a-z]{1,8}( [a-z]{1,8}){0,2}", fullmatch=True)
WEIGHTS = st.sampled_from([-2.0, -1.0, -0.5, 0.25, 1.0, 3.0])


@pytest.mark.parametrize(
    ("words", "terms"),
    [
        ("a dog on a beach", [Term("a dog on a beach")]),
        ("beach + ./dog.jpg - people", [Term("beach"), Term("./dog.jpg"), Term("people", -1)]),
        ("0.5:night + .25:sea", [Term("night", 0.5), Term("sea", 0.25)]),
        ("- people + beach", [Term("people", -1), Term("beach")]),
        ("wi-fi 10:30", [Term("wi-fi 10:30")]),
        (["red", "star"], [Term("red star")]),
        (["red star", "-", "2:blue"], [Term("red star"), Term("blue", -2)]),
        ([Term("a + b", 2), Term("c", -1)], [Term("a + b", 2), Term("c", -1)]),
    ],
    ids=lambda each: str(each)[:20],
)
def test_terms_signs_and_weights_are_read(words, terms):
    assert read_query(words) == terms


@given(st.lists(st.tuples(WORDS, WEIGHTS), min_size=1, max_size=4))
def test_written_query_is_read_again(parts):
    words = " ".join(f"{'+' if weight > 0 else '-'} {abs(weight)}:{text}" for text, weight in parts)
    if any(weight > 0 for _, weight in parts):
        assert read_query(words) == [Term(text, weight) for text, weight in parts]


def test_a_file_with_spaces_is_one_term(tmp_path):
    path = tmp_path / "a - b + c.png"
    path.write_bytes(b"")
    assert read_query([str(path), "+", "dog"]) == [Term(str(path)), Term("dog")]


@pytest.mark.parametrize("words", ["", "dog +", "+ - dog", "dog + + cat", "- dog", []], ids=str)
def test_a_search_without_sense_is_refused(words):
    with pytest.raises(InvalidInput):
        read_query(words)


@pytest.mark.parametrize(
    ("text", "is_image"),
    [("dog", False), ("./dog", True), ("dog.JPG", True), ("~/dog", True), ("v2.0", False)],
)
def test_image_term_has_a_folder_or_an_ending(text, is_image):
    assert Term(text).is_image is is_image


def test_the_vector_is_the_weighted_sum(embedder):
    star = SAMPLES / "red-star.png"
    terms = read_query(["a circle", "-", f"0.5:{star}"])
    vector = weighted_sum(terms, embed_terms(terms, embedder))
    text, image = embedder.texts(["a circle"])[0], embedder.images([star.read_bytes()])[0]
    expected = text - 0.5 * image
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-6)


@pytest.mark.parametrize(
    ("words", "said"),
    [("./gone.png", "cannot be read"), ("dog - dog", "cancel each other")],
)
def test_a_term_that_cannot_be_used_is_named(embedder, words, said):
    terms = read_query(words)
    with pytest.raises(InvalidInput, match=said):
        weighted_sum(terms, embed_terms(terms, embedder))
