"""Reads a checkpoint, and checks that its folder keeps its fingerprint meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from align_zoo.checkpoint.folder import Checkpoint
from align_zoo.errors import CheckpointError

__all__ = ["unchanged"]


@contextmanager
def unchanged(checkpoint: Checkpoint) -> Iterator[Checkpoint]:
    """Open the checkpoint's folder again for the block, and compare the fingerprint afterwards.

    Answers and exports are filed under the fingerprint. So the folder must not change between
    the reading of the fingerprint and the end of the block.

    Raises:
        CheckpointError: the folder has changed.
    """
    fingerprint = checkpoint.fingerprint
    yield Checkpoint(checkpoint.name, checkpoint.folder)
    if Checkpoint(checkpoint.name, checkpoint.folder).fingerprint != fingerprint:
        raise CheckpointError(
            f"{checkpoint.folder} was changed while it was read; load it again once it is written"
        )
