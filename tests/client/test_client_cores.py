"""The client has one thread for each core that the process may use."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from align_client import cores as client_cores
from align_client.async_runtime import AsyncRuntime
from align_client.cores import usable_cores
from align_zoo.runtime import machine as server_cores

GROUPS = ["", "pods", "pods/a", "cpu", "cpu/docker/1"]
OWN = "0::/ 0::/pods/a 0::/docker/1 0::/../other 0::/caf\xe9 5:cpu,cpuacct:/docker/1 none"
own = st.sampled_from(OWN.split(" "))
QUOTAS = "max 100000,400000 100000,150000 100000,20000 100000,many,"
quota = st.sampled_from(QUOTAS.split(","))
old_quota = st.tuples(st.sampled_from(["-1", "400000", "50000"]), st.sampled_from(["100000", "0"]))


@given(
    own,
    st.integers(1, 64),
    st.dictionaries(st.sampled_from(GROUPS), quota),
    st.dictionaries(st.sampled_from(GROUPS[3:]), old_quota),
)
def test_the_client_counts_as_the_server_does(own, cpus, quotas, old):
    """Neither package imports the other; the machine has no hardware threads."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        root = Path(name)
        files = {f"{group}/cpu.max": content for group, content in quotas.items()}
        for group, (quota, period) in old.items():
            files |= {f"{group}/cpu.cfs_quota_us": quota, f"{group}/cpu.cfs_period_us": period}
        for file, content in files.items():
            path = root / "sys/fs/cgroup" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        (root / "proc/self").mkdir(parents=True)
        (root / "proc/self/cgroup").write_bytes(own.encode("latin-1") + b"\n")
        for module in (client_cores, server_cores):
            patch.setattr(module, "_ROOT", root)
        patch.setattr(os, "sched_getaffinity", lambda _: set(range(cpus)), raising=False)
        assert usable_cores() == server_cores.cores()


def test_cores_without_affinity_are_the_machines(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(client_cores, "_ROOT", Path("/nowhere"))
    assert usable_cores() == 3


def test_async_client_threads_equal_cores(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert AsyncRuntime("server", None, 4)._pool._max_workers == 1


def test_no_module_counts_the_machines_cores():
    """``os.cpu_count`` is used only where the affinity is unknown."""
    allowed = {"align_zoo/runtime/machine.py", "client/align_client/cores.py"}
    found = {
        str(path)
        for folder in ("align_zoo", "client/align_client", "benchmarks")
        for path in Path(folder).rglob("*.py")
        if "cpu_count(" in path.read_text(encoding="utf-8")
    }
    assert found <= allowed
