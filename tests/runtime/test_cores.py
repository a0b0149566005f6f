"""A tower has a thread for each core, of those that the process may use and has the time of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from align_zoo.runtime import machine as cores_module
from align_zoo.runtime.machine import cores
from align_zoo.runtime.onnx.nchwc import images_at_once


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """What Linux says of a machine, in a folder: ``machine({file: content}, cpus)``."""

    def described(files: dict[str, str], cpus: int = 64) -> None:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")
        monkeypatch.setattr(cores_module, "_ROOT", tmp_path)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cpus)), raising=False)

    return described


def test_cores_are_at_most_the_machines():
    assert 1 <= cores() <= os.cpu_count()


@pytest.mark.parametrize("cpus", [1, 3, 64])
def test_affinity_limits_the_cores(machine, cpus):
    machine({}, cpus)
    assert cores() == cpus


def siblings(cpu: int, written: str) -> dict[str, str]:
    return {f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": written}


def test_two_hardware_threads_are_one_core(machine):
    pairs = siblings(0, "0,4") | siblings(1, "1,5") | siblings(4, "0,4") | siblings(5, "1,5")
    machine(pairs, cpus=6)  # 2 and 3 are not described: each counts
    assert cores() == 4


QUOTAS = {
    "none": ("0::/", {"": "max 100000"}, 64),
    "of a container": ("0::/", {"": "400000 100000"}, 4),
    "of a unit": ("0::/system/align", {"system/align": "300000 100000"}, 3),
    "of the group around": ("0::/pods/a", {"pods": "200000 100000", "pods/a": "max 100000"}, 2),
    "the least": ("0::/pods/a", {"pods": "200000 100000", "pods/a": "500000 100000"}, 2),
    "a piece of a core more": ("0::/", {"": "150000 100000"}, 2),
    "a piece of a core": ("0::/", {"": "20000 100000"}, 1),
    "more than there are": ("0::/", {"": "9900000 100000"}, 64),
    "by a name of the host's": ("0::/docker/1234", {"": "400000 100000"}, 4),
    "outside": ("0::/../other", {"": "400000 100000"}, 4),
    "unreadable": ("0::/", {"": "many"}, 64),
    "empty": ("0::/", {"": ""}, 64),
    "of no time": ("0::/", {"": "100000 0"}, 64),
}  # fmt: skip


@pytest.mark.parametrize(("own", "groups", "expected"), QUOTAS.values(), ids=QUOTAS)
def test_quota_limits_the_cores(machine, own, groups, expected):
    files = {str(Path("sys/fs/cgroup") / name / "cpu.max"): max for name, max in groups.items()}
    machine({"proc/self/cgroup": own, **files})
    assert cores() == expected


@pytest.mark.parametrize("own", [b"0::/pods/caf\xe9", "0::/pods/a\u2028b".encode(), b"0::/pods\n?"])
def test_quota_of_a_group_with_any_name_counts(machine, tmp_path, own):
    machine({"sys/fs/cgroup/pods/cpu.max": "200000 100000"})
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_bytes(own + b"\n")
    assert cores() == 2


OLD = "12:memory:/docker/12\n5:cpu,cpuacct:/docker/12\n3:cpuset:/docker/12\n0::/system.slice"


@pytest.mark.parametrize("folder", ["", "docker/12/"])
@pytest.mark.parametrize(("quota", "expected"), [(-1, 64), (400000, 4), (150000, 2), (50000, 1)])
def test_quota_of_cgroups_version_1_limits_the_cores(machine, folder, quota, expected):
    files = {"cpu.cfs_quota_us": quota, "cpu.cfs_period_us": 100000}
    where = f"sys/fs/cgroup/cpu/{folder}"
    machine({"proc/self/cgroup": OLD} | {where + name: str(is_) for name, is_ in files.items()})
    assert cores() == expected


def test_images_at_once_leave_at_most_two_idle():
    shared = {threads: images_at_once(threads) for threads in range(1, 65)}
    assert [shared[threads] for threads in (1, 2, 3, 4, 5, 6, 7, 8)] == [1, 2, 3, 4, 4, 3, 3, 4]
    for threads, count in shared.items():
        assert count <= 4
        assert threads - threads // count * count <= 2
