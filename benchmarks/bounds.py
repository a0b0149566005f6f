"""Measures a device's best rates, and counts the work of a computation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["Bounds", "Work", "count"]


@dataclass(frozen=True)
class Work:
    """The work of a run."""

    flop: int
    """The floating-point operations."""
    bytes: int
    """The bytes that the operators read and write, weights included, each as if it ran alone."""


@dataclass(frozen=True)
class Bounds:
    """A device's measured rates."""

    flops: float
    """Floating-point operations a second of a large matrix product."""
    bandwidth: float
    """Bytes a second that a large copy reads and writes."""

    @classmethod
    def measure(
        cls,
        seconds: Callable[[Callable[[], Any]], float],
        device: str,
        dtype: torch.dtype,
        *,
        side: int,
        megabytes: int,
    ) -> Bounds:
        """Measure a matrix product of ``side`` and a copy of ``megabytes``."""
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        source = torch.ones(megabytes << 20, dtype=torch.uint8, device=device)
        target = torch.empty_like(source)
        return cls(
            flops=2 * side**3 / seconds(lambda: torch.mm(a, b)),
            bandwidth=2 * source.nbytes / seconds(lambda: target.copy_(source)),
        )

    def seconds(self, work: Work) -> tuple[float, float]:
        """Compute the least seconds for the arithmetic, and for the memory traffic."""
        return work.flop / self.flops, work.bytes / self.bandwidth


def count(run: Callable[[], Any]) -> Work:
    """Count the work of a run by the shapes of its operators."""
    flop, traffic = FlopCounterMode(display=False), _Traffic()
    # With FLOPs outside, composite operators, which the counter decomposes, are counted once.
    with torch.inference_mode(), flop, traffic:
        run()
    return Work(flop=flop.get_total_flops(), bytes=traffic.bytes)


class _Traffic(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        given, made = (_tensors(each) for each in ((args, kwargs), answer))
        places = {x.untyped_storage().data_ptr() for x in given}
        # A view moves no bytes; a tensor that is changed in place is read and written.
        if func._schema.is_mutable or any(
            x.untyped_storage().data_ptr() not in places for x in made
        ):
            self.bytes += sum(x.nbytes for x in (*given, *made))
        return answer


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [x for x in tree_leaves(tree) if torch.is_tensor(x)]
