"""A checkpoint's model, which is what its fingerprint says."""

from __future__ import annotations

from align_zoo.checkpoint import Checkpoint
from align_zoo.errors import CheckpointError
from align_zoo.factory import create_align
from align_zoo.model import Align
from align_zoo.preprocess import AlignTransform
from align_zoo.tokenizer import AlignTokenizer

__all__ = ["load_model"]


def load_model(checkpoint: Checkpoint) -> tuple[Align, AlignTransform, AlignTokenizer]:
    """What ``create_align`` makes of a checkpoint's folder.

    Its answers are given, and exports of it kept, under the fingerprint: so nobody may have
    written to the folder between the reading of the one and of the other.

    Raises:
        CheckpointError: it cannot be loaded, or somebody has.
    """
    fingerprint = checkpoint.fingerprint
    loaded = create_align(checkpoint.folder)
    if Checkpoint(checkpoint.name, checkpoint.folder).fingerprint != fingerprint:
        raise CheckpointError(
            f"{checkpoint.folder} was changed while it was read; load it again once it is written"
        )
    return loaded
