"""Memory of processes as Linux counts it, with shared pages divided among their processes."""

from __future__ import annotations

from pathlib import Path

__all__ = ["memory_of", "memory_of_tree"]

_PROC = Path("/proc")


def memory_of(pid: int) -> int:
    """Read the proportional set size of a process in bytes; 0 if the process has ended."""
    try:
        text = (_PROC / str(pid) / "smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    (line,) = (line for line in text.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024


def memory_of_tree(pid: int) -> int:
    """Sum the proportional set sizes of a process and all its descendants in bytes."""
    children: dict[int, list[int]] = {}
    for stat in _PROC.glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # The name before the last ")" may have any characters, spaces and brackets too.
        parent = int(text.rpartition(")")[2].split()[1])
        children.setdefault(parent, []).append(int(stat.parent.name))
    total, waiting = 0, [pid]
    while waiting:
        each = waiting.pop()
        total += memory_of(each)
        waiting += children.get(each, [])
    return total
