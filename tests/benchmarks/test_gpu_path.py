"""The comparison on a GPU, gone through on the CPU; and what its bounds are counted from."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from align_zoo.checkpoint import open_checkpoint
from benchmarks import gpu
from benchmarks.bounds import Bounds, Work, count
from benchmarks.measure import timed

PEERS = [
    f"transformers {dtype}{compiled}"
    for dtype in ("bfloat16", "float16")
    for compiled in ("", ", compiled")
]


def compared() -> Iterator[gpu.Row]:
    folder = open_checkpoint("align_tiny").folder
    return gpu.compare_on("cpu", folder, [2], rounds=2, seconds=0.001)


def test_both_towers_are_compared_with_every_peer_and_bound():
    rows = list(compared())
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
        next(compared())


def test_what_a_peer_needs_to_be_compiled_and_captured_is_not_counted():
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


def test_arithmetic_and_traffic_are_counted():
    linear, x = nn.Linear(30, 50), torch.randn(7, 30)
    size = 4 * (7 * 30 + 50 * 30 + 50 + 7 * 50)
    assert count(lambda: linear(x)) == Work(flop=2 * 7 * 30 * 50, bytes=size)


def test_a_view_moves_nothing_and_a_change_in_place_moves_twice():
    x = torch.ones(8, 16)
    assert count(lambda: x.reshape(16, 8).transpose(0, 1)[2:4]) == Work(flop=0, bytes=0)
    assert count(lambda: x.relu_()) == Work(flop=0, bytes=2 * 4 * 8 * 16)


def test_bounds_are_rates():
    bounds = Bounds.measure(lambda run: 2.0, "cpu", torch.float32, side=10, megabytes=1)
    assert bounds == Bounds(flops=1000, bandwidth=1 << 20)
    assert bounds.seconds(Work(flop=3000, bytes=5 << 20)) == (3, 5)
