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
def test_wrong_lost_or_late_answers_are_misses(change):
    assert ChaosRow(**SOUND | change).verdict == "miss"


def test_table_lists_each_row_and_its_misses():
    table = chaos_table([ChaosRow(**SOUND), ChaosRow(**SOUND | {"missed": "memory"})])
    assert table.splitlines()[2] == "| a fault | 1,000 | 0 | 0 | 4.0 | 15 | pass |"
    assert table.splitlines()[3].endswith("| miss: memory |")
