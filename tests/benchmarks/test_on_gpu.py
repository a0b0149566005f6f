"""The script for a machine with a GPU, gone through on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from align_zoo.checkpoint.folder import open_checkpoint
from benchmarks import on_gpu
from benchmarks.on_gpu import Run
from benchmarks.results import Row, read_rows

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "on_gpu.sh"
TINY = open_checkpoint("align_tiny").folder


def test_script_measures_every_part(tmp_path):
    out = tmp_path / "gpu.json"
    command = [str(SCRIPT), "--device", "cpu", "--tiny", "--out", str(out)]
    # PyTorch's threads would spin for the cores that other tests use.
    environment = {**os.environ, "PYTHON": sys.executable, "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    about, parts = read_rows(out)
    assert about["failed"] == {}
    rows = {row.what: row for part in parts.values() for row in part}
    assert rows["5 labels in float32"].verdict == "pass"
    assert {row.verdict for row in parts["parity"]} == {"pass"}
    assert rows["640x480 JPEGs, encoded images"].note.endswith("is the bound")
    for name in ("640x480 JPEGs, the tower alone", "640x480 JPEGs, align-zoo index"):
        assert rows[name].ours > 0
    assert "images, batch 2, share of the matmul bound" in rows
    (tuned,) = parts["finetune"]
    assert tuned.ours > 0


def fails(run: Run):
    yield Row("gpu", "one", "", "/s", ours=1.0)
    raise ModuleNotFoundError("No module named 'lancedb'")


def misses(run: Run):
    yield Row("gpu", "two", "", "off", ours=1.0, target=1e-5, at_most=True)


def lasts(run: Run):
    yield Row("gpu", "three", "", "/s", ours=1.0)
    Event().wait(60)


@pytest.mark.parametrize(
    ("part", "failure"),
    [
        pytest.param(fails, "ModuleNotFoundError: No module named 'lancedb'", id="missing-package"),
        pytest.param(lasts, "TimeoutError: stopped after 1 s", id="too-long"),
        pytest.param(misses, None, id="missed-goal"),
    ],
)
def test_other_parts_are_measured_after_a_failure(part, failure, monkeypatch, tmp_path):
    monkeypatch.setattr(on_gpu, "PARTS", {"first": (part, 1), "second": (misses, 1)})
    out = tmp_path / "gpu.json"
    assert not on_gpu.measure(Run("cpu", TINY), out)
    about, parts = read_rows(out)
    assert about["failed"] == ({"first": failure} if failure else {})
    assert parts["first"]
    assert [row.what for row in parts["second"]] == ["two"]
