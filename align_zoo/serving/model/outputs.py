"""Which checkpoint computed an answer, in which runtime: outputs that both models have."""

from __future__ import annotations

import numpy as np

from align_zoo.runtime.encoder import Encoder

__all__ = ["provenance"]


def provenance(encoder: Encoder) -> dict[str, np.ndarray]:
    """``CHECKPOINT`` and ``RUNTIME``, [1] each."""
    # A reason may name a path, which Triton's Python may know by its bytes alone.
    runtime = encoder.explanation.encode("utf-8", "surrogateescape")
    outputs = {"CHECKPOINT": encoder.fingerprint.encode(), "RUNTIME": runtime}
    return {name: np.array([value], dtype=np.object_) for name, value in outputs.items()}
