"""Saved states of a training: each is a folder, written whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from safetensors import SafetensorError

from align_zoo.training.errors import TrainingError
from align_zoo.writing import flush, flush_all

__all__ = ["States"]

_KEPT = 2
_ABOUT = "training.json"


class States:
    """The newest two states, in folders like ``FOLDER/state-00000100``.

    ``States(folder, options).load(accelerator)`` returns the step of the newest state.

    Args:
        folder: the folder of the states and the log.
        decides: the options that determine the outcome, by name. Only a training with equal
            options can resume from a state.
    """

    def __init__(self, folder: Path, decides: dict[str, Any]) -> None:
        self.folder = folder
        # As JSON returns the options: saved options compare equal.
        self.decides: dict[str, Any] = json.loads(json.dumps(decides))

    def save(self, accelerator: Accelerator, step: int) -> None:
        """Write a state, then remove the older states.

        Raises:
            TrainingError: the state cannot be written; the earlier states are kept.
        """
        part = self._part
        if accelerator.is_main_process:
            shutil.rmtree(part, ignore_errors=True)
        accelerator.wait_for_everyone()
        try:
            accelerator.save_state(str(part))
        except (OSError, RuntimeError, SafetensorError) as error:  # each library's of a full disk
            shutil.rmtree(part, ignore_errors=True)
            raise TrainingError(
                f"the state of step {step} cannot be written to {self.folder}: {error}. With room "
                "made there, --resume goes on from the state before, if there is one"
            ) from error
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            about = {"step": step, "decides": self.decides}
            (part / _ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
            flush_all(part)
            part.replace(self.folder / f"state-{step:08d}")
            flush(self.folder)
            for old in self._all()[:-_KEPT]:
                self._drop(old)
        accelerator.wait_for_everyone()

    def load(self, accelerator: Accelerator) -> int:
        """Load the newest state and return its step.

        Raises:
            TrainingError: there is no state, or the newest is damaged or has other options.
        """
        states = self._all()
        if not states:
            raise TrainingError(
                f"there is nothing to resume: {self.folder} holds no saved state. "
                "Begin without --resume"
            )
        newest = states[-1]
        try:
            about = json.loads((newest / _ABOUT).read_text(encoding="utf-8"))
            step, decided = int(about["step"]), dict(about["decides"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _damaged(newest, error) from error
        self._compare(newest, decided)
        try:
            accelerator.load_state(str(newest))
        except Exception as error:  # a damaged file makes its readers raise any error
            raise _damaged(newest, error) from error
        return step

    def remove(self) -> None:
        """Remove all states: the training is finished."""
        for state in self._all():
            self._drop(state)

    @property
    def _part(self) -> Path:
        """The folder of an incomplete state: one that is being written or removed."""
        return self.folder / "state.part"

    def _drop(self, state: Path) -> None:
        shutil.rmtree(self._part, ignore_errors=True)
        state.replace(self._part)
        shutil.rmtree(self._part)

    def _all(self) -> list[Path]:
        """Return the whole states, oldest first."""
        return sorted(self.folder.glob("state-*"))

    def _compare(self, state: Path, decided: dict[str, Any]) -> None:
        differing = [
            f"{name} {decided.get(name)!r}, not {self.decides.get(name)!r}"
            for name in sorted(decided.keys() | self.decides.keys())
            if decided.get(name) != self.decides.get(name)
        ]
        if differing:
            raise TrainingError(
                f"{state} was begun with {'; '.join(differing)}. Give the same options, or "
                "begin a new training in another folder without --resume"
            )


def _damaged(state: Path, error: Exception) -> TrainingError:
    return TrainingError(
        f"{state} cannot be read: {error}. Delete it to resume from the state before, if there "
        "is one"
    )
