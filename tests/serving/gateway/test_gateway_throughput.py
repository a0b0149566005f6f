"""Measuring how long an item takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from align_zoo.serving.gateway.throughput import Throughput


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def work(measured, clock, seconds, items):
    measured.works(True)
    clock.now += seconds
    measured.finished(items)
    measured.works(False)


@given(
    seconds=st.floats(0.0005, 0.2),
    items=st.integers(1, 64),
    idle=st.floats(0, 1e6),
)
def test_steady_rate_is_measured_without_idle_time(seconds, items, idle):
    clock = Clock()
    measured = Throughput(clock)
    for _ in range(100):
        work(measured, clock, seconds, items)
        clock.now += idle
    # The time within one request has faded a little more than its end.
    assert measured.seconds_per_item(1) == pytest.approx(seconds / items, rel=seconds / 3)


def test_no_measurement_before_the_first_item():
    measured = Throughput(Clock())
    measured.works(True)
    assert measured.seconds_per_item(1) == 0


@given(idle=st.floats(0, 1e9), at_work=st.integers(1, 64), seconds=st.floats(0, 1e4))
def test_unfinished_items_raise_the_measured_time(idle, at_work, seconds):
    clock = Clock()
    measured = Throughput(clock)
    work(measured, clock, 0.1, 1)
    clock.now += idle
    measured.works(True)
    clock.now += seconds
    assert measured.seconds_per_item(at_work) == pytest.approx(
        max(0.1, seconds / at_work), rel=0.05
    )


def test_abandoned_work_is_forgotten_after_idle_time():
    clock = Clock()
    measured = Throughput(clock)
    work(measured, clock, 0.1, 1)
    work(measured, clock, 60, 0)
    measured.works(True)
    clock.now += 0.01
    assert measured.seconds_per_item(1) == pytest.approx(0.1, rel=0.05)


def test_old_measurements_fade():
    clock = Clock()
    measured = Throughput(clock)
    for _ in range(100):
        work(measured, clock, 0.1, 1)
    for _ in range(1000):
        work(measured, clock, 0.01, 1)
    assert measured.seconds_per_item(1) == pytest.approx(0.01, rel=0.5)


def test_a_second_start_does_not_count_time_twice():
    clock = Clock()
    measured = Throughput(clock)
    measured.works(True)
    clock.now += 0.05
    measured.works(True)
    clock.now += 0.05
    measured.finished(1)
    assert measured.seconds_per_item(1) == pytest.approx(0.1, rel=0.05)
