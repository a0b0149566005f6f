"""Texts are checked and split before they are sent, and embedded texts are cached."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from align_client import InvalidInput
from align_client.answers import Row
from align_client.texts import TextCache, checked_texts, chunks, filled


def row(checkpoint: str = "a", value: float = 1.0) -> Row:
    return Row(np.array([value], np.float32), checkpoint, 0.1)


@pytest.mark.parametrize(
    "labels", [["a", "b"], ("a", "b"), {"a": 1, "b": 2}, np.array(["a", "b"]), iter(["a", "b"])]
)
def test_iterable_of_labels_is_accepted(labels):
    assert checked_texts(labels, "label") == ["a", "b"]


@pytest.mark.parametrize(
    "labels, words",
    [
        ("cat", "labels must be a sequence of str, not str"),
        (b"cat", "labels must be a sequence of str, not bytes"),
        (None, "labels must be a sequence of str, not None"),
        (7, "labels must be a sequence of str, not int"),
        (np.array("cat"), "labels must be a sequence of str, not ndarray"),
        ([], "no labels: at least one is needed"),
        (["cat", 7], "label 1 must be a str, not int"),
        (["cat", None], "label 1 must be a str, not None"),
        (["cat", b"dog"], "label 1 must be a str, not bytes"),
        (["cat", ""], "label 1 is empty"),
        (["cat", "dog", " \t\n"], "label 2 is blank"),
        (["cat", "a\ud800b"], "label 1 holds a lone surrogate at character 1"),
    ],
)
def test_bad_label_is_named_with_its_index(labels, words):
    with pytest.raises(InvalidInput, match=words):
        checked_texts(labels, "label")


@pytest.mark.parametrize("text", ["א ב", "😀", "a" * 10_000, "a\x00b", "a {} b", "e\u0301"])
def test_encodable_text_is_left_to_server(text):
    assert checked_texts([text], "text") == [text]


def test_label_replaces_braces_of_template():
    assert filled("a photo of a {}", ["cat", "dog"]) == ["a photo of a cat", "a photo of a dog"]


def test_other_braces_are_literal():
    assert filled("{0} {name} {} }", ["{}", "{x}"]) == ["{0} {name} {} }", "{0} {name} {x} }"]


@pytest.mark.parametrize("template", ["", "a photo", "{0}", "{ }", "{} or {}", None, 3, "\ud800{}"])
def test_template_needs_exactly_one_placeholder(template):
    with pytest.raises(InvalidInput, match="template"):
        filled(template, ["cat"])


@given(st.lists(st.text()), st.integers(1, 20))
def test_chunks_keep_order_and_size(items, size):
    parts = chunks(items, size)
    assert [item for part in parts for item in part] == items
    assert all(1 <= len(part) <= size for part in parts)
    assert len(parts) == -(-len(items) // size)


def test_long_texts_are_split_into_requests():
    texts = ["a", *["long " * 1_000_000] * 4, "too long " * 1_000_000, "b", "c"]
    parts = chunks(texts, 64)
    assert [text for part in parts for text in part] == texts
    assert [len(part) for part in parts] == [2, 1, 1, 1, 1, 2]
    longest = [sum(map(len, part)) for part in parts if len(part) > 1]
    assert max(longest) <= 8_000_000


def test_cache_returns_stored_rows():
    cache = TextCache(10)
    cache.keep({"cat": row()})
    assert cache.find("a", ["cat", "dog"]) == {"cat": row()}


def test_cache_separates_checkpoints():
    cache = TextCache(10)
    cache.keep({"cat": row("a", 1.0)})
    assert cache.find("b", ["cat"]) == {}
    cache.keep({"cat": row("b", 2.0)})
    assert cache.find("a", ["cat"])["cat"].vector == [1.0]
    assert cache.find("b", ["cat"])["cat"].vector == [2.0]


def test_cache_drops_least_recently_used():
    cache = TextCache(2)
    cache.keep({"cat": row(), "dog": row()})
    cache.find("a", ["cat"])
    cache.keep({"cow": row()})
    assert set(cache.find("a", ["cat", "dog", "cow"])) == {"cat", "cow"}


def test_a_cache_of_size_0_keeps_nothing():
    cache = TextCache(0)
    cache.keep({"cat": row()})
    assert len(cache) == 0


def test_cache_copies_vectors():
    response = np.ones((64, 640), np.float32)
    cache = TextCache(10)
    cache.keep({"cat": Row(response[3], "a", 0.1)})
    assert cache.find("a", ["cat"])["cat"].vector.base is None


@given(st.lists(st.lists(st.sampled_from("abcdefgh")), max_size=30), st.integers(0, 5))
def test_cache_is_bounded_and_correct(uses, size):
    cache = TextCache(size)
    for texts in uses:
        for text, found in cache.find("a", texts).items():
            assert found.vector == [ord(text)]
        cache.keep({text: row("a", ord(text)) for text in texts})
        assert len(cache) <= size


def test_the_cache_can_be_shared_between_threads():
    cache = TextCache(50)
    failures = []

    def use(seed: int) -> None:
        for i in np.random.default_rng(seed).integers(0, 100, 2000):
            found = cache.find("a", [str(i)]).get(str(i))
            if found is not None and found.vector != [i]:
                failures.append(i)
            cache.keep({str(i): row("a", float(i))})

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and len(cache) == 50
