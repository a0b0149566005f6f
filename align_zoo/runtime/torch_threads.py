"""PyTorch's threads on the CPU."""

from __future__ import annotations

import torch

from align_zoo.runtime.machine import cores

__all__ = ["set_torch_threads"]


def set_torch_threads(threads: int | None = None) -> None:
    """So many for this process; by default what PyTorch would take, but no more than ``cores``.

    PyTorch asks for the affinity, but not for a container's quota.
    """
    torch.set_num_threads(threads or min(cores(), torch.get_num_threads()))
