"""What a measurement says of two contenders whose times are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.measure import Contender, compare, difference


def machine(seed: int, *, added: float) -> tuple[Contender, Contender]:
    """Two contenders of 0.2 s on a machine whose speed wanders by a third, one ``added`` slower."""
    rng = np.random.default_rng(seed)
    clock = itertools.count()
    phase = rng.uniform(0, 2 * np.pi)

    def run(seconds: float) -> Contender:
        def contender(_: int) -> tuple[float, str]:
            speed = 1 + np.sin(next(clock) / 40 + phase) / 6
            return seconds * speed + rng.exponential(0.005), f"{seconds:g}"

        return contender

    return run(0.2 + added), run(0.2)


@pytest.mark.parametrize("added", [0.0, 0.006, 0.05])
def test_a_difference_is_within_its_uncertainty(added: float) -> None:
    found = [difference(*machine(seed, added=added), pairs=300) for seed in range(40)]
    # What is added takes its part in the machine's wandering, too.
    held = [abs(one.median - added) <= one.uncertainty + added / 6 for one in found]
    assert np.mean(held) >= 0.85
    assert max(one.uncertainty for one in found) < 0.004


@pytest.mark.parametrize("pairs", [1, 2, 3, 20])
def test_a_difference_takes_any_number_of_pairs(pairs: int) -> None:
    assert difference(*machine(0, added=0.1), pairs=pairs).median == pytest.approx(0.1, abs=0.06)


def test_different_answers_end_it_before_anything_is_timed() -> None:
    runs = {"ours": 0, "theirs": 0}

    def contender(name: str, answer: float) -> Contender:
        def run(_: int) -> tuple[float, float]:
            runs[name] += 1
            return 0.1, answer

        return run

    two = {"ours": contender("ours", 0.25), "theirs": contender("theirs", 0.5)}
    with pytest.raises(AssertionError, match=r"4 images: the answers of eager differ by 2\.5e-01"):
        compare("towers", "4 images", "eager", **two)
    assert runs == {"ours": 1, "theirs": 1}
    assert (
        compare("towers", "4 images", "eager", **two, tolerance=0.3).note == "answers within 2e-01"
    )
    assert runs["ours"] > 2
