"""What a device can do at best, and how much a computation asks of it."""

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
    """Of one run."""

    flop: int
    bytes: int
    """Read and written by its operators, weights included, each as if it ran alone."""


@dataclass(frozen=True)
class Bounds:
    """A device's measured rates."""

    flops: float
    """Of a large matrix product."""
    bandwidth: float
    """Bytes a second of a large copy, read and written."""

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
        """By a matrix product of ``side`` and a copy of so many ``megabytes``."""
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        source = torch.ones(megabytes << 20, dtype=torch.uint8, device=device)
        target = torch.empty_like(source)
        return cls(
            flops=2 * side**3 / seconds(lambda: torch.mm(a, b)),
            bandwidth=2 * source.nbytes / seconds(lambda: target.copy_(source)),
        )

    def seconds(self, work: Work) -> tuple[float, float]:
        """The least for its arithmetic, and for its memory traffic."""
        return work.flop / self.flops, work.bytes / self.bandwidth


def count(run: Callable[[], Any]) -> Work:
    """What a run asks for, by the shapes of its operators."""
    flop, traffic = FlopCounterMode(display=False), _Traffic()
    # FLOPs outside: composite operators, which the counter decomposes, are counted once.
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
        # A view moves nothing; what is changed in place is read and written.
        if func._schema.is_mutable or any(
            x.untyped_storage().data_ptr() not in places for x in made
        ):
            self.bytes += sum(x.nbytes for x in (*given, *made))
        return answer


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [x for x in tree_leaves(tree) if torch.is_tensor(x)]
