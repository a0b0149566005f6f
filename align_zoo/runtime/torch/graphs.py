"""Batches of any size through a function that is recorded for a few shapes.

On a GPU the record is a CUDA graph. At small batches a tower's hundreds of kernels run for less
time than their launches take one by one; a graph is launched once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np
import torch

from align_zoo.torch_state import as_documented

__all__ = ["Captured", "FixedBatches", "Function", "current", "pad_texts", "recorder", "split"]

Function = Callable[..., torch.Tensor]
"""Computes one tensor of N rows from tensors of N rows."""
Record = Callable[[Function, "list[torch.Tensor]"], "tuple[Callable[[], Any], torch.Tensor]"]
"""Takes a function and its inputs; returns a call that computes again, and the output tensor."""

_WARMING = 3
"""Runs before a capture: libraries choose kernels and allocate workspaces in the first run."""


class FixedBatches:
    """Computes arrays or tensors of any N rows in batches of a few captured sizes.

    Rows of a shape in ``rows`` are computed in captured batches, each filled up with copies of its
    first row. Rows of other shapes are computed by the function itself, in one batch.

    Args:
        function: tensors to one tensor, each row independent of the others. A function to be
            captured must not depend on its inputs' values to decide what to compute.
        device: where to compute.
        rows: one row of each shape to capture: arrays [1, ...], one for each input. Without rows
            nothing is captured.
        sizes: the batch sizes to capture.
        threads: CPU threads to compute with; by default torch's number.
    """

    def __init__(
        self,
        function: Function,
        device: str,
        rows: Sequence[tuple[np.ndarray, ...]] = (),
        sizes: Sequence[int] = (),
        threads: int | None = None,
    ) -> None:
        self.function, self._device, self._threads = function, torch.device(device), threads
        self._sizes = tuple(sizes)
        self._shapes = {row[0].shape[1:] for row in rows}
        self._captured: dict[tuple[int, ...], Captured] = {}
        # Guards the captured functions: all callers share the memory of inputs and outputs.
        self._lock = Lock()
        if not rows:
            return
        with current(self._device, threads), torch.inference_mode():
            record = recorder(self._device)
            for row in rows:
                # The largest size first: its memory is enough for the others.
                for size in sorted(self._sizes, reverse=True):
                    batch = [torch.from_numpy(each.repeat(size, axis=0)) for each in row]
                    captured = Captured(function, batch, self._device, record)
                    self._captured[(size, *row[0].shape[1:])] = captured

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        """Compute answers [N, ...], float32, from arrays of N > 0 rows."""
        rows = self.compute(*(torch.from_numpy(array) for array in arrays))
        array: np.ndarray = rows.float().cpu().numpy()
        return array

    @torch.inference_mode()
    def compute(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Compute answers [N, ...] on the device, from N > 0 rows on the device or the host."""
        shape = tensors[0].shape[1:]
        with current(self._device, self._threads):
            if shape not in self._shapes:
                return self.function(*(x.to(self._device) for x in tensors))
            answers, start = [], 0
            for count, size in split(len(tensors[0]), self._sizes):
                rows = [x[start : start + count] for x in tensors]
                with self._lock:
                    answers.append(self._captured[(size, *shape)](*rows))
                start += count
            return torch.cat(answers)


def split(count: int, sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Divide ``count`` rows into pieces (rows, size), each a batch of ``size`` >= ``rows``.

    A piece takes the smallest size that holds all remaining rows, if those fill at least half of
    that size; else the largest size that the remaining rows fill completely; else the smallest
    size. With the sizes (1, 4, 16), 9 rows are one batch of 16, and 17 rows are a batch of 16 and
    a batch of 1.
    """
    pieces = []
    while count:
        above = [size for size in sizes if count <= size <= 2 * count]
        below = [size for size in sizes if size < count]
        size = min(above) if above else max(below, default=min(sizes))
        pieces.append((min(count, size), size))
        count -= pieces[-1][0]
    return pieces


def pad_texts(
    input_ids: np.ndarray, attention_mask: np.ndarray, lengths: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Pad ids and mask [N, L] with masked tokens up to the next of ``lengths``.

    Texts longer than every length stay as they are.
    """
    length = input_ids.shape[1]
    more = min((each for each in lengths if each >= length), default=length) - length
    wider = ((0, 0), (0, more))
    return np.pad(input_ids, wider), np.pad(attention_mask, wider)


@contextmanager
def current(
    device: torch.device, threads: int | None = None, *, choosing: bool = False
) -> Iterator[None]:
    """Compute ``as_documented``, and make a GPU the current device of streams and graphs.

    Args:
        device: where to compute.
        threads: CPU threads; by default torch's number.
        choosing: whether to time cuDNN's kernels on every new shape and keep the fastest.
    """
    with as_documented(device, threads, choosing=choosing):
        if device.type != "cuda":
            yield
            return
        with torch.cuda.device(device):
            yield


class Captured:
    """``function`` for inputs of one shape, one call at a time.

    A graph reads and writes its tensors at the addresses of the recording. So each call copies its
    inputs to those tensors, and the answer from there. Without a GPU the function itself runs
    between the same copies.

    Args:
        function: must not depend on its inputs' values to decide what to compute.
        example: inputs of the shape to record.
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
        """Compute answers for at most the recorded number of rows, from the host or the device."""
        count = len(rows[0])
        for given, fixed in zip(rows, self._inputs, strict=True):
            if fixed.is_cuda and not given.is_cuda:
                given = given.pin_memory()  # only copies from pinned memory are asynchronous
            fixed[:count].copy_(given, non_blocking=True)
            fixed[count:] = fixed[:1]  # so that no rows of an earlier call stay
        self._replay()
        return self._output[:count].clone()


def recorder(device: torch.device) -> Record:
    """Make a recorder for functions that never run at the same time, and so may share memory."""
    return _Graphs() if device.type == "cuda" else _call_again


def _call_again(
    function: Function, inputs: list[torch.Tensor]
) -> tuple[Callable[[], Any], torch.Tensor]:
    output = function(*inputs)
    return lambda: output.copy_(function(*inputs)), output


class _Graphs:
    """Records CUDA graphs on the current device."""

    def __init__(self) -> None:
        # An own stream: torch's default stream for captures belongs to the GPU that was used first.
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
            # In this mode other threads may use the GPU meanwhile; in "global" mode they may not.
            with torch.cuda.graph(
                graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
            ):
                output = function(*inputs)
            torch.cuda.current_stream().wait_stream(self._stream)
        return graph.replay, output
