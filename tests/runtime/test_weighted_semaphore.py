"""Large images wait for each other, so that memory does not grow with the number of cores."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.runtime import images
from align_zoo.runtime.images import ImageBatcher, WeightedSemaphore


class Used:
    """How much is held at once, and the most there ever was."""

    def __init__(self) -> None:
        self.now, self.most, self._lock = 0, 0, threading.Lock()

    def add(self, some: int) -> None:
        with self._lock:
            self.now += some
            self.most = max(self.most, self.now)


@pytest.mark.parametrize("seed", range(5))
def test_capacity_is_never_exceeded_and_everyone_proceeds(seed):
    semaphore, used = WeightedSemaphore(100), Used()
    wanted = np.random.default_rng(seed).integers(0, 101, 400).tolist()

    def hold(some: int) -> int:
        with semaphore.take(some):
            used.add(some)
            used.add(-some)
        return some

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(hold, wanted, timeout=60)) == wanted
    assert max(wanted) <= used.most <= 100
    assert used.now == 0


def test_request_beyond_the_capacity_takes_all_units():
    semaphore, entered = WeightedSemaphore(100), threading.Event()

    def enter() -> None:
        with semaphore.take(1):
            entered.set()

    other = threading.Thread(target=enter)
    with semaphore.take(1_000):
        other.start()
        assert not entered.wait(0.1)
    assert entered.wait(60)
    other.join()


def test_large_request_is_not_starved_by_small_ones():
    semaphore, running, entered = WeightedSemaphore(100), threading.Event(), threading.Event()

    def little() -> None:
        while not entered.is_set():
            with semaphore.take(12):
                running.set()
                entered.wait(0.01)

    def much() -> None:
        with semaphore.take(100):
            entered.set()

    others = [threading.Thread(target=little) for _ in range(32)]
    for each in others:
        each.start()
    assert running.wait(60)
    own = threading.Thread(target=much)
    own.start()
    in_time = entered.wait(5)
    entered.set()
    for each in (own, *others):
        each.join()
    assert in_time


def test_an_error_leaves_its_units_to_others():
    semaphore = WeightedSemaphore(100)
    with pytest.raises(ZeroDivisionError), semaphore.take(100):
        1 / 0  # noqa: B018
    with semaphore.take(100):
        pass


def test_four_images_of_the_largest_size_decode_together(monkeypatch):
    monkeypatch.setattr(images, "cores", lambda: 8)
    used, four = Used(), threading.Barrier(4)

    class Watched(AlignTransform):
        def rgb_to_array(self, image: Image.Image) -> np.ndarray:
            used.add(1)
            four.wait(60)
            used.add(-1)
            return super().rgb_to_array(image)

    batcher = ImageBatcher(Watched.from_dict({}), at_once=4, max_pixels=900)
    small = [Image.new("RGB", (30, 30))] * 8
    rows = list(batcher.embed(small, lambda arrays: arrays[:, 0, 0]))
    assert len(rows) == 8
    assert used.most == 4
