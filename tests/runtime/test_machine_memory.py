"""Memory that a tower frees stays with the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from align_zoo.runtime import machine

# A process of its own: the setting cannot be taken back.
FAULTS = """
import resource, sys
import numpy as np
from align_zoo.runtime import machine

if sys.argv[1] != "nothing":
    assert getattr(machine, sys.argv[1])()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    before = faults()
    blocks = [np.ones(int(sys.argv[3]) << 20, dtype=np.uint8) for _ in range(int(sys.argv[2]))]
    del blocks
print(faults() - before)
"""


def faults(kept_by: str, blocks: int, megabytes: int) -> int:
    command = [sys.executable, "-c", FAULTS, kept_by, str(blocks), str(megabytes)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize(
    "kept_by, blocks, megabytes",
    [
        pytest.param("keep_warm", 1, 64, id="a pass"),
        pytest.param("keep_some", 6, 2, id="images"),
    ],
)
def test_kept_memory_is_not_fetched_again(kept_by, blocks, megabytes):
    # 12 MB are 3072 pages of 4 kB, or 6 of 2 MB.
    assert faults(kept_by, blocks, megabytes) < 4 <= faults("nothing", blocks, megabytes)


def test_memory_of_a_large_block_is_given_back():
    assert faults("keep_some", 1, 64) >= 32


def test_other_systems_memory_is_left_alone(monkeypatch):
    monkeypatch.setattr(machine.sys, "platform", "darwin")
    assert machine.keep_warm() is False
    assert machine.keep_some() is False
