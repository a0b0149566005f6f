"""The folder that training writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from align_zoo.training.errors import TrainingError
from align_zoo.writing import alone_in

__all__ = ["check_output", "training_alone", "work_folder"]

_WORK = "training"


def work_folder(out: Path) -> Path:
    """Return the folder of the states and the log; make it if it does not exist."""
    folder = out / _WORK
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def training_alone(out: Path) -> Iterator[None]:
    """Lock the folder against other trainings meanwhile.

    Raises:
        TrainingError: another process is training to the folder.
    """
    try:
        with alone_in(work_folder(out)):
            yield
    except BlockingIOError:
        raise TrainingError(
            f"another process is training to {out}; wait for its end, or choose another --out"
        ) from None


def check_output(out: Path, *, resume: bool) -> None:
    """Make sure that nothing is overwritten, and that a finished training is not resumed.

    Raises:
        TrainingError: ``out`` is a file; without ``resume`` ``out`` holds a model, a state or
            other files; with ``resume`` it holds a model and no state.
    """
    if out.exists() and not out.is_dir():
        raise TrainingError(f"{out} is a file; --out must be a folder")
    unfinished = any((out / _WORK).glob("state-*"))
    if resume and not unfinished and (out / "config.json").exists():
        raise TrainingError(
            f"{out} holds a model and no unfinished training: there is nothing to resume. "
            "To train again, choose another --out, without --resume"
        )
    if resume or not out.exists():
        return
    if unfinished:
        raise TrainingError(
            f"{out} holds an unfinished training; --resume goes on with it, another --out "
            "begins a new one"
        )
    others = sorted(path.name for path in out.iterdir() if path.name != _WORK)
    if others:
        raise TrainingError(
            f"{out} holds other files already ({', '.join(others[:3])}); choose another --out"
        )
