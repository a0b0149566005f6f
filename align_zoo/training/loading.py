"""Batches, read ahead by processes of their own."""

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
from align_zoo.training.interrupt import heed_the_trainer_alone

__all__ = ["dead_workers_named", "read_ahead"]


_DEATH_KNOWN = 5.0
"""Seconds in which the end of a process is known after its connections were cut; milliseconds
are usual."""


class _Batches(Protocol):
    def __getitem__(self, index: int) -> Batch:
        """A batch."""


def read_ahead(
    batches: _Batches, order: Sequence[int], *, workers: int, pin_memory: bool = False
) -> Iterator[Batch]:
    """``batches[i]`` for each ``i`` of ``order``.

    Args:
        batches: what reads a batch.
        order: the batches' numbers.
        workers: processes that read; 0 reads in this one.
        pin_memory: for a GPU.

    Raises:
        AlignZooError: as ``batches`` raised it, wherever that was.
        RuntimeError: a worker has died.
    """
    loader: DataLoader[Batch | AlignZooError] = DataLoader(
        _OrRefused(batches),  # type: ignore[arg-type]  # numbers are all it is asked for
        batch_size=None,
        sampler=order,
        num_workers=workers,
        collate_fn=_as_it_is,  # type: ignore[arg-type]  # typed for lists of items
        pin_memory=pin_memory,
        worker_init_fn=heed_the_trainer_alone,
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
    """As torch says it, which reads of the cut connection before it learns of the death."""
    # In the main thread torch's handler of SIGCHLD raises while this waits.
    ended = wait([each.sentinel for each in readers], _DEATH_KNOWN)
    for each in readers:
        if each.sentinel in ended:
            each.join()  # its SIGCHLD is to come now, not while this error is handled
            raise RuntimeError(f"DataLoader worker (pid {each.pid}) exited unexpectedly")


@contextmanager
def dead_workers_named() -> Iterator[None]:
    """What is raised when a worker has died, which may be anywhere in the main thread.

    Raises:
        TrainingError: one has died: killed for want of memory, for example.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker (pid" not in str(error):
            raise
        raise TrainingError(
            f"a process that decodes pictures is gone: {error} Fewer --workers need less memory, "
            "0 none of their own. --resume goes on from the newest state, if one was saved"
        ) from error


class _OrRefused:
    """A batch, or why there is none: torch makes of an error in a worker a traceback."""

    def __init__(self, batches: _Batches) -> None:
        self.batches = batches

    def __getitem__(self, index: int) -> Batch | AlignZooError:
        try:
            return self.batches[index]
        except AlignZooError as error:
            return error


def _as_it_is(batch: Batch | AlignZooError) -> Batch | AlignZooError:
    return batch
