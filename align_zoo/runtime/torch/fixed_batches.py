"""Batches of any size through a function that is captured for a few."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np
import torch

from align_zoo.runtime.torch.buckets import split
from align_zoo.runtime.torch.graphs import Captured, Function, current, recorder

__all__ = ["FixedBatches"]


class FixedBatches:
    """Arrays or tensors of N rows to one of N rows, for any N.

    Rows of a shape in ``rows`` are computed in captured batches, filled up with a row that is
    there; others as they come.

    Args:
        function: tensors to one tensor; each row for itself. To be captured it must not look at
            its inputs' values to decide what to compute.
        device: where to compute.
        rows: one row of each shape to capture: arrays [1, ...], one for each input. None, and
            nothing is captured.
        sizes: of the batches to capture.
        threads: of the CPU to compute on; as many as torch has by default.
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
        # Of the captured: their inputs and outputs are the same memory for every caller.
        self._lock = Lock()
        if not rows:
            return
        with current(self._device, threads), torch.inference_mode():
            record = recorder(self._device)
            for row in rows:
                # The largest first, whose memory is enough for the others.
                for size in sorted(self._sizes, reverse=True):
                    batch = [torch.from_numpy(each.repeat(size, axis=0)) for each in row]
                    captured = Captured(function, batch, self._device, record)
                    self._captured[(size, *row[0].shape[1:])] = captured

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        """Answers [N, ...], float32, of arrays of N > 0 rows."""
        rows = self.compute(*(torch.from_numpy(array) for array in arrays))
        array: np.ndarray = rows.float().cpu().numpy()
        return array

    @torch.inference_mode()
    def compute(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Answers [N, ...] on the device, of tensors of N > 0 rows there or on the host."""
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
