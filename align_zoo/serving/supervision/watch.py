"""The watch over one tritonserver: only a server that cannot answer any more has a fault."""

from __future__ import annotations

import asyncio
import time
from enum import Enum
from typing import NamedTuple

from align_zoo.serving.probe import MODELS, ask
from align_zoo.serving.supervision.liveness import LONGEST_SILENCE
from align_zoo.serving.supervision.running import Running
from align_zoo.serving.triton.messages import DEAD_MODEL
from align_zoo.serving.triton.process import how_it_ended
from align_zoo.serving.triton.processes import cpu_seconds, until_ended

__all__ = ["Cause", "Fault", "watch"]

_TICK = 0.5
_SERVERS_END_SECONDS = 0.1
"""The longest time between a server's broken calls and its visible end."""
_COMPUTES = 0.04
"""The share of a core above which a process computes: a starved process gets more, and an idle
process uses a thousandth of this share."""
_ASK_AGAIN_SECONDS = 1.0


class Cause(Enum):
    """Why a server must be restarted; the value is the text for callers."""

    EXITED = "tritonserver has ended"
    MODEL_DIED = "a model's process has died"
    NO_ANSWER = "a model has stopped answering"


class Fault(NamedTuple):
    """The fault of a server."""

    cause: Cause
    reason: str
    """The details for the operator."""
    model: str = ""
    """The model whose process has the fault; empty for the whole server."""


async def watch(running: Running) -> Fault:
    """Wait until the server cannot answer any more, and return its fault.

    A fault is: a process has ended, or tritonserver says so; or a model has a request and gives no
    right answer for longer than its patience, and does not compute an answer. Slow answers, on a
    busy machine or to large batches, are no fault.
    """
    watches = [_end(running), _death(running)]
    for model in MODELS:
        watches += [_model_end(model, process) for process in running.model_processes[model]]
        watches += [_probes(running, model), _silence(running, model)]
    tasks = [asyncio.create_task(each) for each in watches]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        # The first in this order: the end of a process says more than its consequences.
        return next(task for task in tasks if task in done).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _end(running: Running) -> Fault:
    assert running.process.pid
    await until_ended(running.process.pid)
    code = running.process.ended()
    assert code is not None
    return Fault(Cause.EXITED, how_it_ended(code))


async def _model_end(model: str, process: int) -> Fault:
    await until_ended(process)
    # If the server itself has ended, the other watch says so.
    await asyncio.sleep(_SERVERS_END_SECONDS)
    return Fault(Cause.MODEL_DIED, f"a process of {model} has ended", model)


async def _death(running: Running) -> Fault:
    reason, model = await running.death
    # If the server itself has ended, the other watch says so.
    await asyncio.sleep(_SERVERS_END_SECONDS)
    return Fault(Cause.MODEL_DIED, reason, model)


async def _probes(running: Running, model: str) -> Fault:
    """Probe the model when no other caller has had an answer lately."""
    liveness = running.liveness[model]
    while True:
        await asyncio.sleep(max(0.0, liveness.pause - liveness.age))
        if liveness.age < liveness.pause:
            continue
        liveness.asked = True
        health = await ask(running.backend.channel, model)
        if health.error is None:
            liveness.asked = False
            liveness.answered(health.seconds)
        elif DEAD_MODEL.pattern.search(health.error):
            # Even if the process continues later, the server's memory cannot be trusted any more.
            return Fault(Cause.MODEL_DIED, f"{model}: {health.error}", model)
        else:  # no right answer: the silence continues
            liveness.error = health.error
            await asyncio.sleep(_ASK_AGAIN_SECONDS)


async def _silence(running: Running, model: str) -> Fault:
    """Measure how long the model owes an answer."""
    liveness, processes = running.liveness[model], running.model_processes[model]
    silence = 0.0
    while True:
        answers, begin, asked = liveness.answers, time.monotonic(), liveness.asked
        computed = sum(map(cpu_seconds, processes)) if asked else 0.0
        await asyncio.sleep(_TICK)
        seconds = time.monotonic() - begin
        if not asked or not liveness.asked or liveness.answers != answers:
            silence = 0.0
            continue
        # At most two ticks: if this process itself was suspended, the model has no fault.
        silence += min(seconds, 2 * _TICK)
        if silence <= liveness.patience:
            continue
        computed = sum(map(cpu_seconds, processes)) - computed
        works = computed > _COMPUTES * seconds and not liveness.error
        if not works or silence > LONGEST_SILENCE:
            words = f": {liveness.error}" if liveness.error else ""
            reason = f"{model} has given no right answer for {silence:.1f} s{words}"
            return Fault(Cause.NO_ANSWER, reason, model)
        liveness.slow(silence)
