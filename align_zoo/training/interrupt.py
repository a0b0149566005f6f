"""SIGINT and SIGTERM end training between two steps."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import parent_process
from types import FrameType, TracebackType
from typing import Any

import torch
from accelerate import Accelerator

__all__ = ["Interruptions", "ignore_other_signals"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruptions:
    """A context in which SIGINT and SIGTERM are noted instead of ending the process.

    ``with Interruptions() as interruptions: ...`` runs steps until
    ``interruptions.anywhere(accelerator)`` is not 0.
    """

    def __init__(self) -> None:
        self._noted = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruptions:
        """Install the handlers."""
        for each in _SIGNALS:
            self._before[each] = signal.signal(each, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Restore the previous handlers."""
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted = number

    def anywhere(self, accelerator: Accelerator) -> int:
        """Return the signal that any process got, 0 for none: all must stop at one step."""
        if accelerator.num_processes == 1:
            return self._noted
        noted = torch.tensor([self._noted], device=accelerator.device)
        gathered: torch.Tensor = accelerator.gather(noted)
        return int(gathered.max())


def ignore_other_signals(worker: int) -> None:
    """Make a process that prepares batches ignore signals other than the trainer's SIGTERM.

    A terminal's Ctrl-C and a SIGTERM to the whole group reach workers, too, and the trainer
    decides when to end. The trainer sends SIGTERM at its exit and waits for the worker to end.
    Without ``sigwaitinfo``, as on macOS, the sender is unknown and any SIGTERM ends the worker.
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
