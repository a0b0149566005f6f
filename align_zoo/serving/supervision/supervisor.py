"""The supervisor: starts a tritonserver, watches it, and replaces it after a fault."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from align_zoo.errors import AlignZooError
from align_zoo.serving.log import event
from align_zoo.serving.probe import MODELS
from align_zoo.serving.routing import Backend, Backends
from align_zoo.serving.supervision.attempts import Attempts
from align_zoo.serving.supervision.run_folder import RunFolder
from align_zoo.serving.supervision.running import Running
from align_zoo.serving.supervision.servers import Servers
from align_zoo.serving.supervision.watch import Cause, Fault, watch
from align_zoo.serving.triton.command import ServeOptions

__all__ = ["Supervisor"]

_T = TypeVar("_T")

_DRAIN_SECONDS = 60.0


class Supervisor:
    """Keeps one tritonserver answering, and sets it in ``backends``. For one event loop.

    >>> supervisor = Supervisor(options, backends, folder)
    >>> await supervisor.run()

    Args:
        options: what to serve.
        backends: where calls go.
        folder: the place of the servers' sockets and of their names in /dev/shm.
        ready: called when the first server answers.
        restarted: called with the cause of each restart: exited, model_died, no_answer.
        died: called with the backend that failed, and with the model whose process died (empty
            for the whole server); returns the number of requests that were with the backend.
        limit: the number of failures, without a healthy minute between them, after which the
            supervisor gives up. The end of a server that had requests does not count: a caller
            must not be able to end the service.
    """

    def __init__(
        self,
        options: ServeOptions,
        backends: Backends,
        folder: RunFolder,
        *,
        ready: Callable[[], None] = lambda: None,
        restarted: Callable[[str], None] = lambda cause: None,
        died: Callable[[Backend, str], int] = lambda backend, model: 0,
        limit: int = 5,
    ) -> None:
        self._options = options
        self._backends = backends
        self._servers = Servers(backends, folder)
        self._ready = ready
        self._restarted = restarted
        self._died = died
        self._attempts = Attempts(limit)
        self._restarts = 0
        self._current: Running | None = None
        """The last server that answered; the server may have failed since."""
        self._replaced = asyncio.Event()
        self._reloading = False

    async def run(self) -> None:
        """Start a server, and replace it after each fault. Never return.

        Raises:
            AlignZooError: the first server does not start, or there were too many failures.
        """
        begin = time.monotonic()
        current = await self._servers.start(self._options)
        self._install(current)
        event(
            "started",
            seconds=_since(begin),
            **_about(current),
            runtimes=current.runtimes,
            triton_lines_left_out=current.relay.left_out,
        )
        self._ready()
        while True:
            assert self._current is not None
            current = self._current
            self._replaced.clear()
            fault = await self._until_replaced(watch(current))
            if fault:
                await self._until_replaced(self._restart(current, fault))

    async def reload(self, model: str | None = None, revision: str | None = None) -> str:
        """Replace the server by a server with another checkpoint, or with the same, read again.

        Args:
            model: the checkpoint; None for the served checkpoint.
            revision: the revision of ``model``; without both, the served revision.

        Returns:
            A line that describes the change.

        Raises:
            AlignZooError: the new checkpoint cannot be served, and the old one still is; or the
                service is starting, or another reload is under way.
        """
        if self._current is None:
            raise AlignZooError("the service is still starting: reload when it is ready")
        if self._reloading:
            raise AlignZooError("another reload is under way: wait until it has ended")
        self._reloading, begin = True, time.monotonic()
        try:
            options = self._options
            if model or revision:
                options = replace(options, model=model or options.model, revision=revision)
            new = await self._servers.start(options)
            before, self._options = self._current, options
            self._install(new)
            self._attempts.forget()
            event(
                "reload",
                model=options.model,
                seconds=_since(begin),
                **_about(new),
                runtimes=new.runtimes,
            )
            await self._servers.end(before, after=_DRAIN_SECONDS)
            return (
                f"{options.model} is served now: checkpoint {new.checkpoint} instead of "
                f"{before.checkpoint}, after {_since(begin):g} s"
            )
        except AlignZooError as error:
            event("reload_failed", level=logging.ERROR, reason=str(error))
            raise
        finally:
            self._reloading = False

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Return whether both models have answered lately, and a dictionary for the operator."""
        running = self._current if self._backends.current else None
        about: dict[str, Any] = {"restarts": self._restarts}
        if running is None:
            return False, {"ready": False, "reason": self._backends.reason, **about}
        late = [model for model, each in running.liveness.items() if each.late]
        if late:
            about["reason"] = f"no answer lately of {' and '.join(late)}"
        models = {
            model: {
                "seconds_since_answer": round(self.age(model), 3),
                "runtime": running.runtimes[model],
            }
            for model in MODELS
        }
        about |= {
            "backend": running.number,
            "checkpoint": running.checkpoint,
            "models": models,
        }
        return not late, {"ready": not late, **about}

    def age(self, model: str) -> float:
        """Return the seconds since the model answered; infinite before its first answer."""
        return self._current.liveness[model].age if self._current else math.inf

    async def close(self) -> None:
        """End the servers at once."""
        self._backends.unset("it is stopping")
        await self._servers.close()

    def _install(self, running: Running) -> None:
        self._current = running
        self._backends.set(running.backend)
        self._replaced.set()

    async def _until_replaced(self, work: Coroutine[Any, Any, _T]) -> _T | None:
        """Return the result of the work; cancel it and return None if a reload comes first."""
        tasks = [asyncio.create_task(work), asyncio.create_task(self._replaced.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return tasks[0].result() if tasks[0].done() else None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _restart(self, failed: Running, fault: Fault) -> None:
        if self._current is not failed:  # a reload was faster
            return
        begin, cause = time.monotonic(), fault.cause.name.lower()
        self._backends.unset(f"it restarts: {fault.cause.value}")
        self._restarts += 1
        self._restarted(cause)
        requests = self._died(failed.backend, fault.model)
        about = {"cause": cause, "reason": fault.reason, "requests": requests, **_about(failed)}
        event("fault", level=logging.ERROR, **about)
        self._attempts.lived(begin - failed.since)
        if requests:
            pause = 0.0
            self._attempts.attempted()
        else:
            pause = self._attempts.failed(fault.reason)
        with suppress(OSError):  # what cannot be removed now is removed by the end, below
            await failed.kill()
        while True:
            await asyncio.sleep(pause)
            try:
                new = await self._servers.start(self._options)
                break
            except AlignZooError as error:
                pause = self._attempts.failed(str(error))
                event(
                    "restart_failed",
                    level=logging.ERROR,
                    cause=cause,
                    reason=str(error),
                    again_in=round(pause, 1),
                )
        if self._current is not failed:  # a reload was faster after all
            await self._servers.end(new)
            return
        self._install(new)
        event("restart", cause=cause, seconds=_since(begin), **_about(new))
        await self._servers.end(failed)

    def on_answer(self, backend: Backend, model: str) -> None:
        """Note that a model has answered a call."""
        running = self._current
        # A repository may have further models.
        if running and running.backend is backend and model in running.liveness:
            running.liveness[model].answered()

    def on_death(self, backend: Backend, reason: str, model: str) -> None:
        """Stop sending calls to a backend of which a model's process has died."""
        running = self._current
        if running and running.backend is backend and not running.death.done():
            # Now, not at the watch's next look: a caller's retry must not meet this server again.
            self._backends.unset(f"it restarts: {Cause.MODEL_DIED.value}")
            running.death.set_result((reason, model))


def _about(running: Running) -> dict[str, Any]:
    return {"number": running.number, "checkpoint": running.checkpoint}


def _since(begin: float) -> float:
    return round(time.monotonic() - begin, 2)
