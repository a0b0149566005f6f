"""Which of several servers is asked next, by how each did lately."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from align_client.addresses import addresses
from align_client.replicas import Replicas


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def replicas(clock):
    return Replicas(addresses([f"h:{i}" for i in (1, 2, 3)]), clock)


def chosen(replicas, count):
    return Counter(replicas.choose().url for _ in range(count))


def test_a_resting_one_is_not_chosen_and_the_others_share_its_turns(replicas):
    replicas.failed(replicas.replicas[1])
    assert chosen(replicas, 40) == {"h:1": 20, "h:3": 20}


def test_a_resting_one_is_tried_by_one_request_only_until_that_is_answered(replicas, clock):
    failed = replicas.replicas[1]
    replicas.failed(failed)
    clock.now = 10
    assert chosen(replicas, 30)["h:2"] == 1
    replicas.answered(failed)
    assert chosen(replicas, 30) == {"h:1": 10, "h:2": 10, "h:3": 10}


def test_a_trial_that_its_caller_cancelled_leaves_it_to_the_next(replicas, clock):
    failed = replicas.replicas[1]
    replicas.failed(failed)
    clock.now = 10
    assert chosen(replicas, 3)["h:2"] == 1
    replicas.left_open(failed)
    assert chosen(replicas, 3)["h:2"] == 1


def test_one_that_all_of_a_call_is_to_ask_is_not_taken_for_tried(replicas, clock):
    for replica in replicas.replicas:
        replicas.failed(replica)
    clock.now = 10
    assert {replicas.choose_for_all().url for _ in range(3)} == {"h:1", "h:2", "h:3"}
    assert chosen(replicas, 3) == {"h:1": 1, "h:2": 1, "h:3": 1}


def test_all_of_a_call_asks_one_that_works_each_call_the_next(replicas, clock):
    replicas.failed(replicas.replicas[1])
    clock.now = 10
    assert [replicas.choose_for_all().url for _ in range(4)] == ["h:1", "h:3", "h:1", "h:3"]


def test_where_all_failed_it_asks_one_whose_rest_is_over(replicas, clock):
    for replica, clock.now in zip(replicas.replicas, (0.4, 0, 0.4), strict=True):
        replicas.failed(replica)
    clock.now = 0.6
    assert [replicas.choose_for_all().url for _ in range(3)] == ["h:2"] * 3


def test_one_that_rests_is_another_one_only_if_it_may_rest(replicas):
    first, *others = replicas.replicas
    for replica in others:
        replicas.failed(replica)
    assert not replicas.another({first})
    assert replicas.another({first}, resting=True)
    assert not replicas.another(set(replicas.replicas), resting=True)


def test_requests_that_meet_one_fault_together_do_not_let_it_rest_for_longer(replicas, clock):
    failed = replicas.replicas[1]
    for _ in range(8):
        replicas.failed(failed)
        clock.now += 0.01
    clock.now = 0.5
    assert chosen(replicas, 3)["h:2"] == 1


def test_nor_do_those_that_ask_it_while_it_rests_for_no_other_is_left(replicas):
    for replica in replicas.replicas:
        replicas.failed(replica)
    for _ in range(8):
        replicas.failed(replicas.choose())
    assert [replica.rests_until for replica in replicas.replicas] == [0.5, 0.5, 0.5]


def test_a_request_that_its_caller_cancelled_does_not_end_a_rest(replicas):
    failed = replicas.replicas[1]
    replicas.failed(failed)
    replicas.left_open(failed)
    assert chosen(replicas, 4) == {"h:1": 2, "h:3": 2}


@given(st.integers(1, 40))
def test_a_failing_one_rests_for_longer_and_longer_but_not_for_more_than_5_s(failures):
    clock = Clock()
    replicas = Replicas(addresses(["h:2"]), clock)
    (replica,) = replicas.replicas
    rests = []
    for _ in range(failures):
        replicas.failed(replica)
        rests.append(replica.rests_until - clock.now)
        clock.now = replica.rests_until
    assert rests == pytest.approx([0.5, 1, 2, 4, *[5] * 36][:failures])


@given(st.lists(st.tuples(st.sampled_from(["failed", "answered"]), st.integers(0, 2))))
def test_whatever_happened_somebody_is_chosen_and_untried_ones_first(events):
    replicas = Replicas(addresses([f"h:{i}" for i in (1, 2, 3)]), Clock())
    for event, i in events:
        getattr(replicas, event)(replicas.replicas[i])
    tried = set()
    for _ in range(3):
        replica = replicas.choose(tried)
        assert replica not in tried
        tried.add(replica)
    assert replicas.choose(tried) in tried
    assert not replicas.another(tried)
