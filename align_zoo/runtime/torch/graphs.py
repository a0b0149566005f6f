"""A function of tensors recorded for one shape: on a GPU a CUDA graph, launched as a whole.

At small batches a tower's hundreds of kernels are shorter than it takes to launch them one by
one; a graph is launched once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from align_zoo.torch_state import as_documented

__all__ = ["Captured", "Function", "current", "recorder"]

Function = Callable[..., torch.Tensor]
"""Tensors of N rows to one tensor of N rows."""
Record = Callable[[Function, "list[torch.Tensor]"], "tuple[Callable[[], Any], torch.Tensor]"]
"""A function and its inputs to what computes it from them again, and where the answer is."""

_WARMING = 3
"""Runs before a capture: libraries choose kernels and allocate workspaces in the first."""


@contextmanager
def current(
    device: torch.device, threads: int | None = None, *, choosing: bool = False
) -> Iterator[None]:
    """Compute ``as_documented``, and make a GPU the one of streams and graphs.

    Args:
        device: where to compute.
        threads: of the CPU; as many as torch has by default.
        choosing: time cuDNN's kernels on every new shape and keep the fastest.
    """
    with as_documented(device, threads, choosing=choosing):
        if device.type != "cuda":
            yield
            return
        with torch.cuda.device(device):
            yield


class Captured:
    """``function`` for inputs of one shape.

    A graph reads and writes where its tensors lay when it was recorded, so inputs are copied
    there and the answer from there: one call at a time. Without a GPU the function itself runs,
    between the same copies.

    Args:
        function: must not look at its inputs' values to decide what to compute.
        example: inputs of the shape that is recorded.
        device: where to compute.
        record: a ``recorder`` of that device.
    """

    def __init__(
        self,
        function: Function,
        example: Sequence[torch.Tensor],
        device: torch.device,
        record: Record,
    ) -> None:
        self._inputs = [x.to(device, copy=True) for x in example]
        self._replay, self._output = record(function, self._inputs)

    def __call__(self, *rows: torch.Tensor) -> torch.Tensor:
        """Answers of as many rows as the shape has, or fewer, from the host or the device."""
        count = len(rows[0])
        for given, fixed in zip(rows, self._inputs, strict=True):
            if fixed.is_cuda and not given.is_cuda:
                given = given.pin_memory()  # only from there a copy is asynchronous, and fast
            fixed[:count].copy_(given, non_blocking=True)
            fixed[count:] = fixed[:1]  # nothing of an earlier call stays
        self._replay()
        return self._output[:count].clone()


def recorder(device: torch.device) -> Record:
    """What records functions that never run at once, and so may share memory."""
    return _Graphs() if device.type == "cuda" else _call_again


def _call_again(
    function: Function, inputs: list[torch.Tensor]
) -> tuple[Callable[[], Any], torch.Tensor]:
    output = function(*inputs)
    return lambda: output.copy_(function(*inputs)), output


class _Graphs:
    """CUDA graphs of the current device."""

    def __init__(self) -> None:
        # A stream of its own: torch's default for captures belongs to whichever GPU came first.
        self._stream, self._pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()

    def __call__(
        self, function: Function, inputs: list[torch.Tensor]
    ) -> tuple[Callable[[], Any], torch.Tensor]:
        graph = torch.cuda.CUDAGraph()
        with current(inputs[0].device, choosing=True):
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                for _ in range(_WARMING):
                    function(*inputs)
            # Other threads may use the GPU meanwhile, which "global" would not allow them.
            with torch.cuda.graph(
                graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
            ):
                output = function(*inputs)
            torch.cuda.current_stream().wait_stream(self._stream)
        return graph.replay, output
