"""Load in a closed loop: who calls when, and what is counted."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from align_zoo import AlignZooError
from align_zoo.serving.tools.callers import closed_loop


@pytest.mark.parametrize(("callers", "warm_up"), [(1, 0), (3, 1), (8, 2)])
def test_calls_are_numbered_and_first_ones_excluded(callers, warm_up):
    numbers = []
    load = closed_loop(numbers.append, callers, 0.01, warm_up=warm_up)
    assert len(set(numbers)) == len(numbers) == load.count + callers * warm_up
    for first in range(callers):
        own = sorted(n for n in numbers if n % callers == first)
        assert own == list(range(first, first + callers * len(own), callers))


def test_each_caller_has_one_call_under_way():
    together = threading.Barrier(5)
    load = closed_loop(lambda _: together.wait(30), 5, 0.0)
    assert (load.count, load.errors) == (5, {})


def test_counting_begins_after_everyones_first_calls():
    made = []

    def call(number):
        if number == 2:
            time.sleep(0.05)
        made.append(number)

    closed_loop(call, 3, 0.0)
    assert set(made[:3]) == {0, 1, 2}


def test_the_slowest_hundredth_is_left_out_of_p99():
    load = closed_loop(lambda number: time.sleep(0.1 * (number == 7)), 1, 0.2)
    assert load.count > 200
    assert load.p99 < 100


def test_ctrl_c_ends_new_calls():
    def call(number):
        if number == 5:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    begin = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            closed_loop(call, 2, 40.0)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - begin < 20


def test_rate_and_times_are_those_of_the_calls():
    start = time.perf_counter()
    load = closed_loop(lambda _: time.sleep(0.02), 4, 0.2, warm_up=0)
    passed = time.perf_counter() - start
    assert 20 <= load.p50 <= load.p95 <= load.p99 <= 1000 * passed
    assert load.count / passed <= load.per_second <= 4 / 0.02


def test_call_past_the_end_is_waited_for():
    load = closed_loop(lambda _: time.sleep(0.1), 1, 0.0, warm_up=0)
    assert load.count == 1
    assert load.p50 >= 100
    assert load.per_second <= 1 / 0.1


def test_errors_are_counted_by_kind_not_as_answers():
    def call(i):
        if i % 3:
            raise (KeyError, ValueError)[i % 3 - 1]

    load = closed_loop(call, 1, 0.01, warm_up=0)
    assert load.errors.keys() == {"ValueError", "KeyError"}
    assert abs(load.errors["ValueError"] - load.count) <= 1


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (RuntimeError("can't start new thread"), AlignZooError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
    ids=["no more threads", "Ctrl-C"],
)
def test_callers_do_not_wait_for_missing_ones(monkeypatch, failure, told):
    class Pool(ThreadPoolExecutor):
        def submit(self, caller, number):
            if number == 2:
                raise failure
            return super().submit(caller, number)

    monkeypatch.setattr("align_zoo.serving.tools.callers.ThreadPoolExecutor", Pool)
    with pytest.raises(told) as error:
        closed_loop(lambda _: None, 5, 60.0)
    if told is AlignZooError:
        assert str(error.value) == "5 callers at once are too many: can't start new thread"


def test_no_answers_have_no_times():
    load = closed_loop(lambda _: 1 / 0, 2, 0.0)
    assert (load.count, load.per_second, load.errors) == (0, 0.0, {"ZeroDivisionError": 2})
    assert np.isnan([load.p50, load.p95, load.p99]).all()
