"""What counts as a miss in the table of faults."""

import pytest

from benchmarks.chaos.rows import ChaosRow, chaos_table

SOUND = {"what": "a fault", "sent": 1000, "wrong": 0, "lost": 0, "seconds": 4.0, "limit": 15.0}


def test_right_answers_in_time_pass():
    assert ChaosRow(**SOUND).verdict == "pass"


@pytest.mark.parametrize(
    "change",
    [{"wrong": 1}, {"lost": 1}, {"seconds": 15.1}, {"missed": "memory grew by 3%"}, {"sent": 0}],
    ids=str,
)
def test_one_wrong_or_lost_answer_or_a_late_recovery_is_a_miss(change):
    assert ChaosRow(**SOUND | change).verdict == "miss"


def test_the_table_has_a_line_for_each_and_says_what_was_missed():
    table = chaos_table([ChaosRow(**SOUND), ChaosRow(**SOUND | {"missed": "memory"})])
    assert table.splitlines()[2] == "| a fault | 1,000 | 0 | 0 | 4.0 | 15 | pass |"
    assert table.splitlines()[3].endswith("| miss: memory |")
