"""Requests share one call of the tower, and nothing else."""

import pickle

import numpy as np
import pytest

from align_zoo.errors import InvalidInput, InvalidText
from align_zoo.serving.per_request import embed_requests


def embed(items):
    """The item's number as its vector; what is no number is refused."""
    return [
        np.array([float(item)], dtype=np.float32) if item.isdigit() else InvalidText("no number")
        for item in items
    ]


def test_requests_of_different_sizes_get_their_own_items_back():
    answers = embed_requests([[b"1"], [b"2", b"3", b"4"], [b"5", b"6"]], embed)
    assert [answer.ravel().tolist() for answer in answers] == [[1], [2, 3, 4], [5, 6]]


def test_the_tower_is_called_once_for_all_requests():
    calls = []
    embed_requests([[b"1"], [b"2", b"3"]], lambda items: calls.append(list(items)) or embed(items))
    assert calls == [[b"1", b"2", b"3"]]


def test_a_bad_item_fails_its_whole_request_and_no_other():
    good, bad = embed_requests([[b"1", b"2"], [b"3", b"x", b"y"]], embed)
    assert good.tolist() == [[1], [2]]
    assert isinstance(bad, InvalidInput)


@pytest.mark.parametrize(
    ("request_items", "message"),
    [([b"x"], "no number"), ([b"1", b"2", b"x"], "item 2: no number")],
)
def test_a_bad_item_is_named_by_its_place_among_several(request_items, message):
    (answer,) = embed_requests([[b"0"], request_items], embed)[1:]
    assert str(answer) == message


@pytest.mark.parametrize("items", [[b"x"], [b"1", b"x"]])
def test_the_reason_of_a_bad_item_is_that_of_its_request(items):
    (answer,) = embed_requests([items], lambda _: [InvalidText("long", "too_long")] * len(items))
    assert type(answer) is InvalidText
    assert answer.reason == "too_long"


def test_an_error_keeps_its_reason_through_a_pickle():
    again = pickle.loads(pickle.dumps(InvalidText("the text is long", "too_long")))
    assert (str(again), again.reason) == ("the text is long", "too_long")
