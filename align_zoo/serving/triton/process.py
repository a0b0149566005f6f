"""One run of tritonserver: started, waited for, ended without a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from align_zoo.serving.triton import exec_guard
from align_zoo.serving.triton.command import ServeOptions, command, environment, repository_of
from align_zoo.serving.triton.find import find_tritonserver

__all__ = ["KILLED", "TritonProcess", "how_it_ended", "remove_shared_memory"]

KILLED = 128 + signal.SIGKILL
"""The exit code of a server that was killed, and could not log a reason."""

_SHARED_MEMORY = Path("/dev/shm")


class TritonProcess:
    """A tritonserver that is killed when the process that started it dies, with its models.

    Args:
        options: what to serve.
        addresses: the flags that say where it listens.
        shm_prefix: how the names of its files in /dev/shm begin, and no other server's.

    Raises:
        AlignZooError: there is no tritonserver, no model repository, or it cannot run here.
    """

    def __init__(self, options: ServeOptions, addresses: Sequence[str], shm_prefix: str) -> None:
        server = find_tritonserver()
        self.shm_prefix = shm_prefix
        self._command = command(server, options, addresses, shm_prefix=shm_prefix)
        self._env = environment(server, options, os.environ)
        self._folder = repository_of(options)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the server, and of its process group; None before the start."""
        return self._process.pid if self._process else None

    def launch(self, output: IO[bytes] | int | None = None) -> None:
        """Start it, without waiting for anything; from a thread that lives as long as it may.

        Args:
            output: where all that it prints goes; None for this process's own.
        """
        own = [sys.executable, "-I", "-S", exec_guard.__file__, str(os.getpid())]
        self._process = subprocess.Popen(
            [*own, *self._command],
            cwd=self._folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            # A process group of its own, to be killed at once. Ctrl-C goes to the whole session of
            # a terminal, but the process that started the server decides about its end.
            start_new_session=True,
        )

    def send_signal(self, number: int) -> None:
        """Pass a signal on; nothing happens before the start and after the end."""
        if self._process:
            self._process.send_signal(number)

    def ended(self) -> int | None:
        """Return the exit code as ``wait`` does, but at once: None while the server runs.

        The process id is not used again until ``wait`` or ``kill``.
        """
        assert self._process is not None, "it has not been started"
        if self._process.returncode is not None:
            return _exit_code(self._process.returncode)
        end = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if end is None:
            return None
        return end.si_status if end.si_code == os.CLD_EXITED else 128 + end.si_status

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return the exit code; 128 + n if signal n ended the server.

        Raises:
            subprocess.TimeoutExpired: the server still runs after ``timeout`` seconds.
        """
        assert self._process is not None, "it has not been started"
        code = self._process.wait(timeout)
        remove_shared_memory(self.shm_prefix)
        return _exit_code(code)

    def kill(self) -> None:
        """Kill the server and its models' processes in any state, and wait for their end."""
        if self._process is None:
            return
        if self._process.returncode is None:  # else the number may be another's
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        # The other processes of the group become children of this process if it reaps orphans
        # (`service.serve`, or the first process of a container), and would stay zombies.
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-self._process.pid, 0)
        remove_shared_memory(self.shm_prefix)


def how_it_ended(code: int) -> str:
    """Describe an exit code of :meth:`TritonProcess.wait`."""
    if code == KILLED:
        return "tritonserver was killed (SIGKILL); the kernel does so when memory runs out"
    return f"tritonserver ended with exit code {code}"


def remove_shared_memory(prefix: str) -> None:
    """Remove the files in /dev/shm whose names begin with ``prefix``."""
    for file in _SHARED_MEMORY.glob(f"{prefix}*"):
        file.unlink(missing_ok=True)


def _exit_code(code: int) -> int:
    return code if code >= 0 else 128 - code
