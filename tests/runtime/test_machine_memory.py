"""Memory that a tower frees stays with the process."""

from __future__ import annotations

import subprocess
import sys

from align_zoo.runtime import machine

# A process of its own: the setting cannot be taken back.
FAULTS = """
import resource, sys
import numpy as np
from align_zoo.runtime.machine import keep_warm

if sys.argv[1] == "warm":
    assert keep_warm()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    before = faults()
    np.ones(64 << 20, dtype=np.uint8)
print(faults() - before)
"""


def faults(how: str) -> int:
    command = [sys.executable, "-c", FAULTS, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_warm_memory_is_not_fetched_again():
    # 64 MB are 16384 pages of 4 kB, or 32 of 2 MB.
    assert faults("warm") < 8 < faults("cold")


def test_other_systems_memory_is_left_alone(monkeypatch):
    monkeypatch.setattr(machine.sys, "platform", "darwin")
    assert machine.keep_warm() is False
