"""A script that becomes a server; the server and its process group die with the starter.

``python exec_guard.py PARENT PROGRAM ARGUMENTS...``, where PARENT is the starter's process id,
and this process leads a group. This is a script, not code between fork and exec, because the
starter has threads.

The processes of Triton's models should notice by themselves that their server has ended, but some
hang. So a guardian in the same group waits for the server's end, and then kills the group.
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
    if os.getppid() != parent:  # the starter has died before the line above
        return
    with suppress(OSError):  # Linux before 5.3, or a sandbox: there is no guardian then
        _leave_guardian(os.pidfd_open(os.getpid()))
    os.execv(command[0], command)


def _leave_guardian(server: int) -> None:
    """Start the guardian, an orphan that kills this group when ``server``, a pidfd, has ended."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        _guard(server)
    finally:  # after any failure, the child must not become a second server
        os._exit(1)


def _guard(server: int) -> None:
    # Systemd and terminals signal whole groups; the guardian ends after the server.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if os.fork():
        return
    # Readers must see the output's end when the server ends, not when the guardian does.
    os.closerange(0, 3)
    watch = select.poll()
    watch.register(server, select.POLLIN)
    watch.poll()
    # The guardian is a member of the group: the number cannot have become another group's.
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2:])
