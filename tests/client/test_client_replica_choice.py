"""The choice of the next server depends on each server's last failures."""

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


def test_resting_replica_is_skipped(replicas):
    replicas.failed(replicas.replicas[1])
    assert chosen(replicas, 40) == {"h:1": 20, "h:3": 20}


def test_one_request_tries_replica_after_rest(replicas, clock):
    failed = replicas.replicas[1]
    replicas.failed(failed)
    clock.now = 10
    assert chosen(replicas, 30)["h:2"] == 1
    replicas.answered(failed)
    assert chosen(replicas, 30) == {"h:1": 10, "h:2": 10, "h:3": 10}


def test_cancelled_trial_passes_to_next_request(replicas, clock):
    failed = replicas.replicas[1]
    replicas.failed(failed)
    clock.now = 10
    assert chosen(replicas, 3)["h:2"] == 1
    replicas.left_open(failed)
    assert chosen(replicas, 3)["h:2"] == 1


def test_choice_for_all_is_no_trial(replicas, clock):
    for replica in replicas.replicas:
        replicas.failed(replica)
    clock.now = 10
    assert {replicas.choose_for_all().url for _ in range(3)} == {"h:1", "h:2", "h:3"}
    assert chosen(replicas, 3) == {"h:1": 1, "h:2": 1, "h:3": 1}


def test_choice_for_all_takes_turns(replicas, clock):
    replicas.failed(replicas.replicas[1])
    clock.now = 10
    assert [replicas.choose_for_all().url for _ in range(4)] == ["h:1", "h:3", "h:1", "h:3"]


def test_choice_for_all_prefers_ended_rest(replicas, clock):
    for replica, clock.now in zip(replicas.replicas, (0.4, 0, 0.4), strict=True):
        replicas.failed(replica)
    clock.now = 0.6
    assert [replicas.choose_for_all().url for _ in range(3)] == ["h:2"] * 3


def test_resting_replica_is_another_only_if_allowed(replicas):
    first, *others = replicas.replicas
    for replica in others:
        replicas.failed(replica)
    assert not replicas.another({first})
    assert replicas.another({first}, resting=True)
    assert not replicas.another(set(replicas.replicas), resting=True)


def test_simultaneous_failures_count_once(replicas, clock):
    failed = replicas.replicas[1]
    for _ in range(8):
        replicas.failed(failed)
        clock.now += 0.01
    clock.now = 0.5
    assert chosen(replicas, 3)["h:2"] == 1


def test_failures_during_rest_do_not_count(replicas):
    for replica in replicas.replicas:
        replicas.failed(replica)
    for _ in range(8):
        replicas.failed(replicas.choose())
    assert [replica.rests_until for replica in replicas.replicas] == [0.5, 0.5, 0.5]


def test_cancelled_request_does_not_end_rest(replicas):
    failed = replicas.replicas[1]
    replicas.failed(failed)
    replicas.left_open(failed)
    assert chosen(replicas, 4) == {"h:1": 2, "h:3": 2}


@given(st.integers(1, 40))
def test_rest_doubles_up_to_5_s(failures):
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
def test_untried_replicas_are_chosen_first(events):
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
