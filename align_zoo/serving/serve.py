"""``align-zoo serve``: what a process needs to serve, and serving."""

from __future__ import annotations

import asyncio
import ctypes
import resource

from align_zoo.serving.gateway.options import GatewayOptions
from align_zoo.serving.log import event, unhindered
from align_zoo.serving.loop import run
from align_zoo.serving.supervision.run_folder import remove_dead
from align_zoo.serving.triton.command import ServeOptions
from align_zoo.serving.triton.process import TritonProcess

__all__ = ["serve"]

_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


def serve(options: ServeOptions, gateway: GatewayOptions, *, limit: int = 5) -> int:
    """Serve in the foreground until a signal says that it is enough.

    Args:
        options: what to serve; its addresses are not used.
        gateway: where, and to whom.
        limit: with so many failures without a healthy minute between them it gives up.

    Returns:
        The exit code: 0 after a signal, if everything that was accepted has been answered; else
        1; 128 + n when signal n came a second time.

    Raises:
        AlignZooError: something is missing, a port is taken, the checkpoint cannot be served, or
            it has been given up.
    """
    with unhindered():
        return _serve(options, gateway, limit)


def _serve(options: ServeOptions, gateway: GatewayOptions, limit: int) -> int:
    gateway.check()
    TritonProcess(options, (), "")  # says what is missing before anything is begun
    _raise_file_limit()
    # Models' processes that a killed tritonserver leaves are then ours to wait for.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if gone := remove_dead():
        event("cleaned", folders=gone)
    return asyncio.run(run(options, gateway, limit))


def _raise_file_limit() -> None:
    """As many connections as the system allows; the soft limit is for programs that use select."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
