"""What a service was made of is not looked through again; what comes later is collected."""

import gc
import weakref

import pytest

from align_zoo.runtime.machine import spare_what_stays


class Cycle:
    def __init__(self):
        self.itself = self


@pytest.fixture
def spared():
    spare_what_stays()
    yield
    gc.unfreeze()


def test_existing_objects_are_not_collected(spared):
    assert gc.get_freeze_count() > 10_000
    assert len(gc.get_objects()) < gc.get_freeze_count() / 10


def test_later_garbage_is_collected(spared):
    later = weakref.ref(Cycle())
    gc.collect()
    assert later() is None


def test_existing_garbage_is_collected_first():
    gc.disable()
    try:
        before = weakref.ref(Cycle())
        spare_what_stays()
        assert before() is None
    finally:
        gc.unfreeze()
        gc.enable()
