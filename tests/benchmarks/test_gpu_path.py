"""The comparison on a GPU, gone through on the CPU; and what its bounds are counted from."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from align_zoo.checkpoint.folder import open_checkpoint
from benchmarks import gpu
from benchmarks.bounds import Bounds, Work, count
from benchmarks.measure import timed
from benchmarks.results import read_rows, table

PEERS = [
    f"transformers {dtype}{compiled}"
    for dtype in ("bfloat16", "float16")
    for compiled in ("", ", compiled")
]


TINY = open_checkpoint("align_tiny").folder


def test_towers_have_rows_for_peers_and_bounds(tmp_path, capsys):
    out = tmp_path / "new" / "gpu.json"
    gpu.main(TINY, device="cpu", batch=[2], out=out, rounds=2, seconds=0.001)
    about, parts = read_rows(out)
    rows = parts["gpu"]
    assert about["cores"] >= 1
    assert table(rows) in capsys.readouterr().out
    for what in ("images, batch 2", "labels, batch 2"):
        assert [row.against for row in rows if row.what == what] == PEERS
        for bound in ("matmul", "memory"):
            (share,) = (row for row in rows if row.what == f"{what}, share of the {bound} bound")
            assert share.ours > 0
    for row in rows:
        if row.ratio is not None:
            assert row.ratio == pytest.approx(row.ours / row.theirs)
            assert "cosine to float32 0.999" in row.note


def test_answers_that_are_far_are_refused(monkeypatch):
    monkeypatch.setattr(gpu, "NEAR", 1.1)
    with pytest.raises(AssertionError, match=r"images, batch 2: cosine 0\.9999\d+ to float32"):
        next(gpu.compare_on("cpu", TINY, [2], rounds=2, seconds=0.001))


def test_compilation_and_capture_are_not_timed():
    truth, calls = torch.eye(2), []

    def compiled() -> torch.Tensor:
        calls.append(1)
        time.sleep(0.1 if len(calls) <= 3 else 0.001)
        return truth

    runs = {"ours": lambda: truth, "compiled": compiled}
    limits = Work(flop=1, bytes=1), Bounds(flops=1, bandwidth=1)
    how = {"rounds": 3, "seconds": 0.02}
    row, *_ = gpu._rows("images", 1, runs, truth, timed, limits, how)
    assert row.theirs > 1 / 0.05


def test_gpu_uses_device_clock_and_keeps_answer(monkeypatch):
    device, answer = {"ms": 0.0, "waited": False}, torch.zeros(2)

    class Event:
        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            self.at = device["ms"]

        def synchronize(self) -> None:
            device["waited"] = True

        def elapsed_time(self, end: Event) -> float:
            assert device["waited"]
            return end.at - self.at

    def captured() -> torch.Tensor:
        device["ms"] += 30
        return answer.add_(1)  # always the same memory

    monkeypatch.setattr(torch.cuda, "Event", Event)
    seconds, kept = gpu._on_device("cuda:1")(captured)(4)
    captured()
    assert seconds == pytest.approx(0.03)
    assert kept.tolist() == [4, 4]


def test_arithmetic_and_traffic_are_counted():
    linear, x = nn.Linear(30, 50), torch.randn(7, 30)
    size = 4 * (7 * 30 + 50 * 30 + 50 + 7 * 50)
    assert count(lambda: linear(x)) == Work(flop=2 * 7 * 30 * 50, bytes=size)


def test_bytes_moved_by_views_and_in_place_changes():
    x = torch.ones(8, 16)
    assert count(lambda: x.reshape(16, 8).transpose(0, 1)[2:4]) == Work(flop=0, bytes=0)
    assert count(lambda: x.relu_()) == Work(flop=0, bytes=2 * 4 * 8 * 16)


def test_bounds_are_rates():
    def seconds(run) -> float:
        return 2.0 if run().dtype == torch.float32 else 4.0  # a product, and a copy of bytes

    bounds = Bounds.measure(seconds, "cpu", torch.float32, side=10, megabytes=2)
    assert bounds == Bounds(flops=1000, bandwidth=1 << 20)
    assert bounds.seconds(Work(flop=3000, bytes=5 << 20)) == (3, 5)
