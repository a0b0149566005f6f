"""Run as a script: become a server that dies with its starter, and takes its group along.

``python exec_guard.py PARENT PROGRAM ARGUMENTS...``, where PARENT is the starter's process id,
and this process leads a group. A script, not code between fork and exec: the starter has threads.

Triton's models' processes are to notice by themselves that their server is gone, and some hang
instead; so a guardian in the same group waits for the server's end, and then kills the group.
"""

import ctypes
import os
import select
import signal
import sys
from contextlib import suppress

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>; exec keeps it, fork does not


def _main(parent: int, command: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it has died before the line above
        return
    with suppress(OSError):  # Linux before 5.3, or a sandbox: without a guardian then
        _leave_guardian(os.pidfd_open(os.getpid()))
    os.execv(command[0], command)


def _leave_guardian(server: int) -> None:
    """A process that is nobody's child kills this group when ``server``, a pidfd, has ended."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        _guard(server)
    finally:  # whatever goes wrong, this one must not become a second server
        os._exit(1)


def _guard(server: int) -> None:
    # Systemd and terminals signal whole groups; this one ends when the server has.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if os.fork():
        return
    # The server's output is complete when the server has ended, whatever the guardian does.
    os.closerange(0, 3)
    watch = select.poll()
    watch.register(server, select.POLLIN)
    watch.poll()
    # It is a member itself: the number cannot have become another group's.
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2:])
