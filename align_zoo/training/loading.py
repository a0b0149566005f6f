"""Batches, read ahead by worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import active_children
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Protocol

from torch.utils.data import DataLoader

from align_zoo.errors import AlignZooError
from align_zoo.training.batches import Batch
from align_zoo.training.errors import TrainingError
from align_zoo.training.interrupt import ignore_other_signals

__all__ = ["dead_workers_named", "read_ahead"]


_DEATH_KNOWN = 5.0
"""Seconds to wait for the end of a process after its connection was cut; milliseconds are
usual."""


class _Batches(Protocol):
    def __getitem__(self, index: int) -> Batch:
        """Return a batch."""


def read_ahead(
    batches: _Batches, order: Sequence[int], *, workers: int, pin_memory: bool = False
) -> Iterator[Batch]:
    """Yield ``batches[i]`` for each ``i`` of ``order``.

    Args:
        batches: the source of the batches.
        order: the numbers of the batches.
        workers: processes that read; 0 reads in this process.
        pin_memory: copy batches to pinned memory, for a GPU.

    Raises:
        AlignZooError: ``batches`` raised it, here or in a worker.
        RuntimeError: a worker has died.
    """
    loader: DataLoader[Batch | AlignZooError] = DataLoader(
        _OrRefused(batches),  # type: ignore[arg-type]  # the loader only indexes it by number
        batch_size=None,
        sampler=order,
        num_workers=workers,
        collate_fn=_as_it_is,  # type: ignore[arg-type]  # typed for lists of items
        pin_memory=pin_memory,
        worker_init_fn=ignore_other_signals,
    )
    read = iter(loader)
    readers = active_children()
    try:
        for batch in read:
            if isinstance(batch, AlignZooError):
                raise batch
            yield batch
    except (OSError, EOFError):
        if readers:
            _raise_if_one_has_died(readers)
        raise


def _raise_if_one_has_died(readers: list[BaseProcess]) -> None:
    """Raise torch's error for a dead worker: a cut connection may be noticed before the death."""
    # In the main thread torch's handler of SIGCHLD raises while this waits.
    ended = wait([each.sentinel for each in readers], _DEATH_KNOWN)
    for each in readers:
        if each.sentinel in ended:
            each.join()  # SIGCHLD arrives now, not while this error is handled
            raise RuntimeError(f"DataLoader worker (pid {each.pid}) exited unexpectedly")


@contextmanager
def dead_workers_named() -> Iterator[None]:
    """Name a dead worker in an error; torch raises its own anywhere in the main thread.

    Raises:
        TrainingError: a worker has died, for example killed because memory ran out.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker (pid" not in str(error):
            raise
        raise TrainingError(
            f"a process that decodes images is gone: {error} Fewer --workers need less memory; "
            "0 starts no process. --resume goes on from the newest state, if one was saved"
        ) from error


class _OrRefused:
    """Batches, or the errors instead of them: torch turns an error of a worker into a traceback."""

    def __init__(self, batches: _Batches) -> None:
        self.batches = batches

    def __getitem__(self, index: int) -> Batch | AlignZooError:
        try:
            return self.batches[index]
        except AlignZooError as error:
            return error


def _as_it_is(batch: Batch | AlignZooError) -> Batch | AlignZooError:
    return batch
