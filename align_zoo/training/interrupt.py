"""SIGINT and SIGTERM as a wish that is granted between two steps."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import parent_process
from types import FrameType, TracebackType
from typing import Any

import torch
from accelerate import Accelerator

__all__ = ["Interruptions", "heed_the_trainer_alone"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruptions:
    """While it is entered, SIGINT and SIGTERM are noted instead of ending the process."""

    def __init__(self) -> None:
        self._noted = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruptions:
        """Listen from now on."""
        for each in _SIGNALS:
            self._before[each] = signal.signal(each, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the signals to who had them before."""
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted = number

    def anywhere(self, accelerator: Accelerator) -> int:
        """The signal that any process has met, 0 for none: all have to stop at one step."""
        if accelerator.num_processes == 1:
            return self._noted
        noted = torch.tensor([self._noted], device=accelerator.device)
        gathered: torch.Tensor = accelerator.gather(noted)
        return int(gathered.max())


def heed_the_trainer_alone(worker: int) -> None:
    """For processes that prepare batches: what signals the trainer signals them, too.

    A terminal's Ctrl-C and a SIGTERM to the whole group are the trainer's to decide about. Its
    own SIGTERM, at its exit, ends the worker: the trainer then waits for it. Where nothing tells
    who sent a signal, as on macOS, any SIGTERM ends it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not hasattr(signal, "sigwaitinfo"):
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_until_the_trainer_ends, daemon=True).start()


def _until_the_trainer_ends() -> None:
    trainer = parent_process()
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != (trainer and trainer.pid):
        pass
    os._exit(0)  # torch reports any other code as a fault
