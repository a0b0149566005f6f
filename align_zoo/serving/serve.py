"""``align-zoo serve``: the gateway and the supervisor in one process, from start to last answer."""

from __future__ import annotations

import asyncio
import ctypes
import resource
import signal
from contextlib import AsyncExitStack

from align_zoo.checkpoint.folder import local_checkpoint
from align_zoo.runtime.machine import keep_some, spare_what_stays
from align_zoo.serving.gateway.gateway import Gateway, Site
from align_zoo.serving.gateway.metrics import Metrics
from align_zoo.serving.gateway.options import GatewayOptions
from align_zoo.serving.gateway.suspects import Suspects
from align_zoo.serving.log import event, unhindered, write
from align_zoo.serving.routing import Backends
from align_zoo.serving.supervision.control import control_socket
from align_zoo.serving.supervision.run_folder import RunFolder, remove_dead
from align_zoo.serving.supervision.supervisor import Supervisor
from align_zoo.serving.triton.command import ServeOptions
from align_zoo.serving.triton.process import TritonProcess

__all__ = ["serve"]

_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
_DRAIN_SECONDS = 30.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def serve(
    options: ServeOptions, gateway: GatewayOptions, *, limit: int = 5, site: Site | None = None
) -> int:
    """Serve in the foreground until a signal arrives.

    Args:
        options: what to serve; the addresses of these options are not used.
        gateway: the addresses and the access rules.
        limit: the number of failures, without a healthy minute between them, after which the
            service gives up.
        site: what the port of HTTP serves beside the models.

    Returns:
        The exit code: 0 after a signal if all accepted calls were answered, else 1; 128 + n if
        signal n arrived a second time.

    Raises:
        AlignZooError: tritonserver or a file is missing, a port is taken, the checkpoint cannot be
            served, or the service has given up.
    """
    with unhindered():
        return _serve(options, gateway, limit, site)


def _serve(options: ServeOptions, gateway: GatewayOptions, limit: int, site: Site | None) -> int:
    gateway.check()
    # Both raise if something is missing, before anything starts.
    local_checkpoint(options.model)
    TritonProcess(options, (), "")
    _raise_file_limit()
    keep_some()
    # Orphaned model processes of a killed tritonserver become children of this process.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if gone := remove_dead():
        event("cleaned", folders=gone)
    return asyncio.run(_run(options, gateway, limit, site))


def _raise_file_limit() -> None:
    """Raise the limit of open files to the hard limit; the soft limit is for users of select()."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _run(
    options: ServeOptions, gateway_options: GatewayOptions, limit: int, site: Site | None
) -> int:
    """Serve until a signal comes; arguments, result and errors as of :func:`serve`."""
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in _SIGNALS:
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue  # nohup: the service outlives its terminal
        asyncio.get_running_loop().add_signal_handler(number, signals.put_nowait, number)
    backends, metrics = Backends(), Metrics()

    def ready() -> None:
        write(f"align-zoo: ready on {gateway.addresses()}")
        if site:
            site.ready(gateway.http_address())

    with RunFolder() as folder:
        suspects = Suspects(metrics)
        supervisor = Supervisor(
            options,
            backends,
            folder,
            ready=ready,
            restarted=metrics.restarted,
            died=suspects.died,
            limit=limit,
        )
        gateway = Gateway(backends, gateway_options, metrics, supervisor, suspects, site)
        async with AsyncExitStack() as stack:
            # Ports first: a taken port is reported before a model is loaded.
            await gateway.start()
            stack.push_async_callback(gateway.stop)
            write(f"align-zoo: loading {options.model}")
            stack.push_async_callback(supervisor.close)
            await stack.enter_async_context(
                control_socket(folder, gateway.grpc_port, supervisor.reload)
            )
            spare_what_stays()
            return await _until_signal(supervisor, gateway, signals)


async def _until_signal(
    supervisor: Supervisor, gateway: Gateway, signals: asyncio.Queue[int]
) -> int:
    work = asyncio.create_task(supervisor.run())
    signalled = asyncio.create_task(signals.get())
    try:
        await asyncio.wait({work, signalled}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()  # raises its error
        event("stopping", signal=signal.Signals(signalled.result()).name)
        drain = asyncio.create_task(gateway.drain(_DRAIN_SECONDS))
        again = asyncio.create_task(_second(signals))
        await asyncio.wait({drain, again}, return_when=asyncio.FIRST_COMPLETED)
        if again.done():
            return 128 + again.result()
        event("stopped", answered_all=drain.result())
        return 0 if drain.result() else 1
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def _second(signals: asyncio.Queue[int]) -> int:
    """Wait for a signal other than SIGHUP, which a closed terminal and its shell both send."""
    while (number := await signals.get()) == signal.SIGHUP:
        pass
    return number
