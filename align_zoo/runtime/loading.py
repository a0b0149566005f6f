"""A checkpoint's towers, which are what its fingerprint says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from align_zoo.checkpoint.folder import Checkpoint
from align_zoo.errors import CheckpointError

__all__ = ["unchanged"]


@contextmanager
def unchanged(checkpoint: Checkpoint) -> Iterator[Checkpoint]:
    """A checkpoint as its folder is now, to read from.

    Its answers are given, and exports of it kept, under the fingerprint: so nobody may have
    written to the folder between the reading of the one and of the other.

    Raises:
        CheckpointError: somebody has.
    """
    fingerprint = checkpoint.fingerprint
    yield Checkpoint(checkpoint.name, checkpoint.folder)
    if Checkpoint(checkpoint.name, checkpoint.folder).fingerprint != fingerprint:
        raise CheckpointError(
            f"{checkpoint.folder} was changed while it was read; load it again once it is written"
        )
