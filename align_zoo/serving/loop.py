"""The gateway and the supervisor in one event loop, from the start to the last answer."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack

from align_zoo.serving.gateway.gateway import Gateway
from align_zoo.serving.gateway.metrics import Metrics
from align_zoo.serving.gateway.options import GatewayOptions
from align_zoo.serving.gateway.suspects import Suspects
from align_zoo.serving.log import event, write
from align_zoo.serving.model.garbage import spare_what_stays
from align_zoo.serving.routing import Backends
from align_zoo.serving.supervision.control import control_socket
from align_zoo.serving.supervision.run_folder import RunFolder
from align_zoo.serving.supervision.supervisor import Supervisor
from align_zoo.serving.triton.command import ServeOptions

__all__ = ["run"]

_DRAIN_SECONDS = 30.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


async def run(options: ServeOptions, gateway_options: GatewayOptions, limit: int) -> int:
    """Serve until a signal comes; arguments, result and errors as of ``service.serve``."""
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in _SIGNALS:
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue  # nohup: it outlives its terminal
        asyncio.get_running_loop().add_signal_handler(number, signals.put_nowait, number)
    backends, metrics = Backends(), Metrics()
    with RunFolder() as folder:
        suspects = Suspects(metrics)
        supervisor = Supervisor(
            options,
            backends,
            folder,
            ready=lambda: write(f"align-zoo: ready on {gateway.addresses()}"),
            restarted=metrics.restarted,
            died=suspects.died,
            limit=limit,
        )
        gateway = Gateway(backends, gateway_options, metrics, supervisor.health, suspects)
        metrics.probe_age = supervisor.age
        async with AsyncExitStack() as stack:
            # Ports first: a taken one is told before a model is loaded.
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
            work.result()  # it has failed
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
    """The next signal that means it: a closed terminal sends SIGHUP, and so does its shell."""
    while (number := await signals.get()) == signal.SIGHUP:
        pass
    return number
