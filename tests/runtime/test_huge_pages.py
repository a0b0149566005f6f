"""Served towers lie in huge pages, where the system has them and the operator does not object."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from align_zoo.runtime.machine import with_huge_pages
from align_zoo.serving.triton.command import ServeOptions, environment
from align_zoo.serving.triton.find import TritonServer

POLICY = Path("/sys/kernel/mm/transparent_hugepage/enabled")
ALLOCATE = """
weights = b"w" * (64 << 20)
rollup = open("/proc/self/smaps_rollup").read()
print(next(line.split()[1] for line in rollup.splitlines() if line.startswith("AnonHugePages")))
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "glibc.malloc.hugetlb=1"),
        ({"GLIBC_TUNABLES": ""}, "glibc.malloc.hugetlb=1"),
        (
            {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"},
            "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1",
        ),
        ({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}, "glibc.malloc.hugetlb=0"),
    ],
)
def test_operators_setting_is_kept(before, after):
    env = {"PATH": "/bin", **before}
    assert with_huge_pages(env) == {"PATH": "/bin", "GLIBC_TUNABLES": after}
    assert env == {"PATH": "/bin", **before}


def test_serve_switches_huge_pages_on(tmp_path):
    env = environment(TritonServer(tmp_path / "tritonserver"), ServeOptions(), {})
    assert env["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"


def in_huge_pages(env: dict[str, str]) -> int:
    """Megabytes of a process's 64."""
    command = [sys.executable, "-c", ALLOCATE]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return int(done.stdout) // 1024


def test_large_allocations_use_huge_pages_where_allowed():
    policy = POLICY.read_text() if POLICY.exists() else "[never]"
    assert (in_huge_pages(with_huge_pages({})) > 32) is ("[never]" not in policy)
    assert (in_huge_pages({}) > 32) is ("[always]" in policy)
