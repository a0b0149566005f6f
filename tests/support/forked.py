"""Code that needs a process of its own, in forks of one interpreter: they share its imports.

An import of torch and of what stands on it takes seconds of a processor.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

__all__ = ["run_forked"]


def run_forked(
    imports: str, code: str, runs: Sequence[Sequence[object]]
) -> list[subprocess.CompletedProcess[str]]:
    """Run code once for each list of arguments, one run after the other.

    Args:
        imports: the code that runs once, before the forks.
        code: sees the arguments in sys.argv[1:], as with `python -c`.
        runs: the arguments of each run.
    """
    given = json.dumps([imports, code, [list(map(str, each)) for each in runs]])
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, folder]
        done = subprocess.run(command, input=given, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said = [
            [Path(folder, f"{name}{number}").read_text() for name in ("out", "err")]
            for number in range(len(runs))
        ]
    codes = map(int, done.stdout.split())
    return [
        subprocess.CompletedProcess(list(each), *result)
        for each, *result in zip(runs, codes, *zip(*said, strict=True), strict=True)
    ]


def _run_each(folder: str) -> None:
    imports, code, runs = json.load(sys.stdin)
    exec(imports, {"__name__": "__main__"})
    for number, arguments in enumerate(runs):
        if child := os.fork():
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
            continue
        for descriptor, name in ((1, "out"), (2, "err")):
            with Path(folder, f"{name}{number}").open("wb") as file:
                os.dup2(file.fileno(), descriptor)
        sys.argv[1:] = arguments
        exec(code, {"__name__": "__main__"})
        sys.exit()


if __name__ == "__main__":
    sys.path[0] = ""  # as with `python -c`
    _run_each(sys.argv[1])
