"""Triton's processes, as /proc shows them."""

from __future__ import annotations

import asyncio
import os
import platform
from pathlib import Path

__all__ = [
    "awaited_children",
    "cpu_seconds",
    "dead_children",
    "is_alive",
    "triton_processes",
    "until_ended",
]

_PROC = Path("/proc")
_NAMES = ("tritonserver", "triton_python_backend_stub")
_POLL_SECONDS = 0.5
_WAIT4 = {"x86_64": "61", "aarch64": "260"}.get(platform.machine())
"""The number of the system call by which a thread waits for the end of a process."""


def triton_processes(*words: str) -> list[int]:
    """Find the servers and models' processes whose command lines contain all the words."""
    found = []
    for folder in _PROC.glob("[0-9]*"):
        try:
            line = os.fsdecode((folder / "cmdline").read_bytes())
        except OSError:  # it has ended meanwhile
            continue
        name = Path(line.partition("\0")[0]).name
        if name in _NAMES and all(word in line for word in words):
            found.append(int(folder.name))
    return found


def is_alive(pid: int) -> bool:
    """Return whether the process still runs; a zombie has ended."""
    return _status(pid)[0] not in "ZX"


def dead_children(pid: int) -> set[int]:
    """Find the process's zombie children: ended, and not waited for."""
    found = {int(folder.name): _status(int(folder.name)) for folder in _PROC.glob("[0-9]*")}
    return {child for child, status in found.items() if status[:2] == ["Z", str(pid)]}


def awaited_children(pid: int) -> set[int]:
    """Find the processes that a thread of the process waits for; none if /proc hides them."""
    found = set()
    for file in _PROC.glob(f"{pid}/task/*/syscall"):
        try:
            call = file.read_text().split()
        except OSError:  # the thread has ended meanwhile, or /proc hides it
            continue
        if call[:1] == [_WAIT4]:
            found.add(int(call[1], 16))
    return found


async def until_ended(pid: int) -> None:
    """Wait until the process has ended, whether or not its exit code was read."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError:  # Linux before 5.3, or a sandbox
        while is_alive(pid):
            await asyncio.sleep(_POLL_SECONDS)
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process so far; 0 if the process is gone."""
    user, system = _status(pid)[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _status(pid: int) -> list[str]:
    """Return the fields after the name in /proc/PID/stat; the state is the first."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["X", *["0"] * 12]
