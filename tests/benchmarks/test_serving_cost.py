"""What serving an image costs, by process, on a real server and in seconds."""

import pytest

from benchmarks import serving_cost
from benchmarks.inputs import photos
from benchmarks.interpreter_lock import lock_held
from benchmarks.serving_cost import SMALL, cost_rows, null_checkpoint


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    for name, value in {"SECONDS": 0.2, "PACKED": 64, "BARE": 10, "LOCK_SECONDS": 0.5}.items():
        monkeypatch.setattr(serving_cost, name, value)
    monkeypatch.setattr(serving_cost, "IN_FLIGHT", (1, 2))


@pytest.mark.served
def test_each_process_has_its_cost():
    rows = {row.what: row for row in cost_rows(rounds=1, kinds=[SMALL])}
    for load in ("1 in flight", "2 in flight", "packed"):
        costs = [rows[f"64x64, {load}: {process}"] for process in ("client", "gateway", "model")]
        # The kernel counts in hundredths of a second, and so few packs take the client less.
        assert all(row.unit == "ms" and 0 <= row.ours < 100 for row in costs)
        assert costs[-1].ours > 0
        assert rows[f"64x64, {load}: in all"].unit == "/s"


def test_lock_is_held_for_part_of_an_image():
    files = photos(2)
    whole = serving_cost._bare_steps(transform(), files)["all"]
    held = lock_held(null_checkpoint(SMALL), files, 0.5)
    assert held is None or 0 < held < 3 * whole


def transform():
    return serving_cost.read_transform(serving_cost.open_checkpoint(null_checkpoint(SMALL)))
