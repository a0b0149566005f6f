"""How often a supervisor tries again, how patient it is, and what it reads from Triton's log."""

import time

import pytest

from align_zoo import AlignZooError
from align_zoo.serving.supervision.attempts import Attempts
from align_zoo.serving.supervision.liveness import ModelLiveness
from align_zoo.serving.triton.output import why_not_loaded


def test_pause_grows_after_an_immediate_first_attempt():
    attempts = Attempts(limit=20)
    pauses = [attempts.failed("x") for _ in range(12)]
    assert pauses[0] == 0
    for i, pause in enumerate(pauses[1:]):
        assert min(30, 2**i) / 2 <= pause <= min(30, 2**i)


def test_failed_start_after_uncounted_death_waits():
    attempts = Attempts(limit=3)
    for _ in range(10):
        attempts.attempted()
    assert 0.5 <= attempts.failed("first start") <= 1
    assert 1 <= attempts.failed("second start") <= 2


def test_pauses_are_not_the_same_for_all():
    def second():
        attempts = Attempts(limit=5)
        attempts.failed("x")
        return attempts.failed("x")

    assert len({second() for _ in range(10)}) > 1


def test_attempts_end_with_the_last_reason():
    attempts = Attempts(limit=3)
    attempts.failed("first")
    attempts.failed("second")
    with pytest.raises(AlignZooError, match=r"given up after 3 failures .* the last: third"):
        attempts.failed("third")


@pytest.mark.parametrize("healthy", [60, 3600])
def test_attempts_reset_after_a_healthy_minute(healthy):
    attempts = Attempts(limit=3)
    for _ in range(10):
        attempts.failed("x")
        assert attempts.failed("x", after=healthy) == 0


def test_a_short_recovery_does_not_count():
    attempts = Attempts(limit=3)
    attempts.failed("x")
    assert attempts.failed("x", after=59) > 0


@pytest.mark.parametrize(
    ("waits", "patience"), [([0.01], 5), ([1.25], 5), ([3], 12), ([3, 0.1, 0.2], 12), ([60], 120)]
)
def test_patience_is_four_times_the_slowest_answer(waits, patience):
    liveness = ModelLiveness(waits[0])
    for seconds in waits[1:]:
        liveness.answered(seconds)
    assert liveness.patience == patience


def test_slow_answers_are_forgotten():
    liveness = ModelLiveness(10)
    for _ in range(20):
        liveness.answered(0.1)
    assert liveness.patience == 5


@pytest.mark.parametrize(("seconds", "pause"), [(0.001, 1), (0.1, 5), (0.2, 10), (5, 10)])
def test_probes_are_rare_and_every_ten_seconds(seconds, pause):
    assert ModelLiveness(seconds).pause == pause


def test_waiting_for_the_next_probe_is_not_late(monkeypatch):
    liveness, now = ModelLiveness(0.1), time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 9)
    assert liveness.pause < liveness.age
    assert not liveness.late
    monkeypatch.setattr(time, "monotonic", lambda: now + 11)
    assert liveness.late


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (
            "E1121 x.cc:642] \"failed to load 'align_text' version 1: "
            'Internal: TritonModelException: /x/bad does not exist\\n\\nAt:\\n  /y(57)\\n"',
            "/x/bad does not exist",
        ),
        (
            "E1121 model_lifecycle.cc:642] failed to load 'align_text' version 1: Unavailable: "
            "no memory",
            "no memory",
        ),
        ("I1121 17:17:49.635295 27 model_lifecycle.cc:777] \"failed to load 'align_text'\"", ""),
    ],
)
def test_the_reason_is_found_in_tritons_log(line, why):
    assert why_not_loaded(["I1121 something", line, line]) == why
