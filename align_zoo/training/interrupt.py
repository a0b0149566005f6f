"""SIGINT and SIGTERM as a wish that is granted between two steps."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

import torch
from accelerate import Accelerator

__all__ = ["Interruptions", "ignore_interruptions"]

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


def ignore_interruptions(worker: int) -> None:
    """For processes that prepare batches: a terminal signals them too, but the trainer decides."""
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
