"""ALIGN's loss over the batches of all processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch.nn import functional as F

from align_zoo.towers.dual_encoder import AlignOutput, align_loss

__all__ = ["ContrastiveLoss"]


class ContrastiveLoss:
    """ALIGN's loss of the whole batch, with the rows of all processes.

    ``ContrastiveLoss(32)(output, temperature, None)`` is the loss of a model's output. Every
    process computes the loss of the whole batch, so the gradient of its own rows is complete
    without a further exchange.

    Args:
        batch_size: the highest number of pairs of a process in a step; broken images leave fewer.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size

    def __call__(self, output: AlignOutput, temperature: torch.Tensor, target: Any) -> torch.Tensor:
        """Return the loss; equal rows match, and ``target`` is not used.

        Raises:
            ValueError: an embedding is missing.
        """
        images, texts = output.image_embeds, output.text_embeds
        if images is None or texts is None:
            raise ValueError("a contrastive loss needs both embeddings")
        images, texts = (_gather(rows, self.batch_size) for rows in (images, texts))
        return align_loss(images @ texts.t() / temperature)


def _gather(rows: torch.Tensor, at_most: int) -> torch.Tensor:
    """Return the rows [N, D] of all processes in their order; own rows keep their gradient."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return rows
    processes = dist.get_world_size()
    if rows.requires_grad:
        # DistributedDataParallel takes the mean of all processes' gradients. Only one process
        # has the gradient of a row, so the mean has to become the sum. Every process has the
        # temperature's gradient in full, so there the mean is right.
        rows = rows.clone()
        rows.register_hook(lambda gradient: gradient * processes)
    count = torch.tensor(len(rows), device=rows.device)
    counts = [torch.empty_like(count) for _ in range(processes)]
    dist.all_gather(counts, count)
    # Collectives want equal shapes.
    padded = F.pad(rows.detach(), (0, 0, 0, at_most - len(rows))).contiguous()
    parts = [torch.empty_like(padded) for _ in range(processes)]
    dist.all_gather(parts, padded)
    whole = [part[: int(n)] for part, n in zip(parts, counts, strict=True)]
    whole[dist.get_rank()] = rows
    return torch.cat(whole)
