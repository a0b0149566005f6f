"""Errors of training, and its end by a signal."""

from __future__ import annotations

import signal

from align_zoo.errors import AlignZooError

__all__ = ["TrainingError", "TrainingStopped"]


class TrainingError(AlignZooError, ValueError):
    """The data, an option or the output folder cannot be trained with; the message names it."""


class TrainingStopped(AlignZooError):
    """A signal ended training after a whole step, and the state is saved.

    Attributes:
        exit_code: the code that a shell expects after the signal, 128 plus its number.
    """

    def __init__(self, number: int, step: int, steps: int) -> None:
        name = signal.Signals(number).name
        super().__init__(
            f"stopped by {name} after step {step} of {steps}; the state is saved. "
            "The same command with --resume goes on"
        )
        self.exit_code = 128 + number
