"""The metrics of a model's process, at Triton's own /metrics.

Imported only inside Triton's Python backend, which brings ``triton_python_backend_utils``.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from queue import SimpleQueue
from typing import Any, NamedTuple

import triton_python_backend_utils as pb_utils

from align_zoo.errors import InvalidInput

__all__ = ["ModelMetrics"]

_BATCHES = [1, 2, 4, 8, 16, 32, 64]
_COUNTS = {
    "text_cache_hits": "Texts whose embedding was remembered",
    "text_cache_misses": "Texts whose embedding had to be computed",
}


class _Batch(NamedTuple):
    items: int
    failures: Counter[str]
    counts: dict[str, int]


class ModelMetrics:
    """Counts the batches of one model.

    >>> metrics = ModelMetrics("align_text", service.reasons, service.counts, service.slowdown)
    >>> metrics.add(answers, service.counts)

    A thread updates Triton's metrics: each update is a round trip of half a millisecond, and the
    callers of the batch would wait for it.

    Args:
        model: the model's name.
        reasons: the reasons why an item may be refused: each counter starts at 0, so that
            Prometheus sees its first increase.
        counts: the service's own counts, by their names.
        slowdown: the time of an item divided by the time on the fastest path.
    """

    def __init__(
        self, model: str, reasons: Iterable[str], counts: Mapping[str, int], slowdown: float
    ) -> None:
        # All families are kept: in Triton a family must outlive its metrics.
        self._families = {
            "batch": pb_utils.MetricFamily(
                name="align_zoo_batch_items",
                description="Items of a batch, as the model got them",
                kind=pb_utils.MetricFamily.HISTOGRAM,
            ),
            "slowdown": pb_utils.MetricFamily(
                name="align_zoo_slowdown",
                description="Times that an item takes beside the machine's fastest runtime",
                kind=pb_utils.MetricFamily.GAUGE,
            ),
            "failure": _counter(
                "align_zoo_decode_failures_total", "Items that could not be used, by the reason"
            ),
            **{name: _counter(f"align_zoo_{name}_total", _COUNTS[name]) for name in counts},
        }
        self._batch = self._families["batch"].Metric(labels={"model": model}, buckets=_BATCHES)
        self._slowdown = self._families["slowdown"].Metric(labels={"model": model})
        self._slowdown.set(slowdown)
        self._failures = {reason: self._failure(reason) for reason in reasons}
        self._counts = {name: self._families[name].Metric(labels={}) for name in counts}
        self._counted = dict(counts)
        self._batches: SimpleQueue[_Batch] = SimpleQueue()
        # Until the process ends, and the metrics with it.
        threading.Thread(target=self._tell_all, name="metrics", daemon=True).start()

    def add(self, answers: Sequence[object], counts: Mapping[str, int]) -> None:
        """Add a batch: the answer to each item, and the service's counts after it."""
        failures = Counter(each.reason for each in answers if isinstance(each, InvalidInput))
        self._batches.put(_Batch(len(answers), failures, dict(counts)))

    def _tell_all(self) -> None:
        while True:
            batch = self._batches.get()
            try:
                self._tell(batch)
            # The thread's outermost handler: one failed update must not end the later updates.
            except Exception as error:
                pb_utils.Logger.log_error(f"metrics cannot be told ({type(error).__name__})")

    def _tell(self, batch: _Batch) -> None:
        self._batch.observe(batch.items)
        for reason, count in batch.failures.items():
            if reason not in self._failures:
                self._failures[reason] = self._failure(reason)
            self._failures[reason].increment(count)
        for name, count in batch.counts.items():
            if grown := count - self._counted[name]:
                self._counts[name].increment(grown)
        self._counted = batch.counts

    def _failure(self, reason: str) -> Any:
        return self._families["failure"].Metric(labels={"reason": reason})


def _counter(name: str, description: str) -> Any:
    return pb_utils.MetricFamily(
        name=name, description=description, kind=pb_utils.MetricFamily.COUNTER
    )
