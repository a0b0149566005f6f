"""Requests share one call of the tower, and nothing else."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from align_zoo.errors import InvalidInput, InvalidText
from align_zoo.serving.model.answer import embed_requests, joined, with_errors


def embed(items):
    """The item's number as its vector; what is no number is refused."""
    yield [
        np.array([float(item)], dtype=np.float32) if item.isdigit() else InvalidText("no number")
        for item in items
    ]


def all_answers(requests, embed=embed):
    """For each request its vectors, or its error."""
    answers = [each for portion in embed_requests(requests, embed) for each in portion]
    return [outcome(each) for each in answers]


def outcome(answers):
    try:
        return joined(answers)
    except InvalidInput as error:
        return error


def test_requests_get_back_their_own_items():
    answers = all_answers([[b"1"], [b"2", b"3", b"4"], [b"5", b"6"]])
    assert [answer.ravel().tolist() for answer in answers] == [[1], [2, 3, 4], [5, 6]]


def test_the_tower_is_called_once_for_all_requests():
    calls = []
    all_answers([[b"1"], [b"2", b"3"]], lambda items: calls.append(list(items)) or embed(items))
    assert calls == [[b"1", b"2", b"3"]]


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=8), data=st.data())
def test_request_is_answered_by_its_completing_portion(sizes, data):
    ends = np.cumsum(sizes).tolist()
    cuts = sorted(data.draw(st.sets(st.integers(1, ends[-1]))) | {ends[-1]})
    requests = [
        [b"%d" % i for i in range(end - size, end)] for size, end in zip(sizes, ends, strict=True)
    ]
    computed = 0

    def portions(items):
        nonlocal computed
        (whole,) = embed(items)
        for cut in cuts:
            begin, computed = computed, cut
            yield whole[begin:cut]

    answered = []
    for portion in embed_requests(requests, portions):
        answered += portion
        assert ends[len(answered) - 1] <= computed  # not before it is complete,
        assert len(answered) == len(ends) or computed < ends[len(answered)]  # and not after it
    expected = [[int(item) for item in items] for items in requests]
    assert [np.ravel(answer).tolist() for answer in answered] == expected


def test_bad_item_fails_only_its_own_request():
    good, bad = all_answers([[b"1", b"2"], [b"3", b"x", b"y"]])
    assert good.tolist() == [[1], [2]]
    assert isinstance(bad, InvalidInput)


@pytest.mark.parametrize(
    ("request_items", "message"),
    [([b"x"], "no number"), ([b"1", b"2", b"x"], "item 2: no number")],
)
def test_bad_item_is_named_by_its_place(request_items, message):
    (answer,) = all_answers([[b"0"], request_items])[1:]
    assert str(answer) == message


@pytest.mark.parametrize("items", [[b"x"], [b"1", b"x"]])
def test_bad_item_gives_its_reason_to_the_request(items):
    (answer,) = all_answers([items], lambda _: [[InvalidText("long", "too_long")] * len(items)])
    assert type(answer) is InvalidText
    assert answer.reason == "too_long"


def test_each_item_has_its_own_error():
    vectors, errors = with_errors([np.ones(2), InvalidText("blank"), np.zeros(2)], width=2)
    assert vectors.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert errors.tolist() == [[b""], [b"blank"], [b""]]


def test_items_without_any_vector_keep_the_width():
    assert with_errors([InvalidText("blank")] * 3, width=5)[0].shape == (3, 5)


def test_an_error_keeps_its_reason_through_a_pickle():
    again = pickle.loads(pickle.dumps(InvalidText("the text is long", "too_long")))
    assert (str(again), again.reason) == ("the text is long", "too_long")
