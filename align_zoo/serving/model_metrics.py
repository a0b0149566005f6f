"""What a model's process counts, at Triton's own /metrics.

Imported only inside Triton's Python backend, which brings ``triton_python_backend_utils``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import triton_python_backend_utils as pb_utils

from align_zoo.errors import InvalidInput

__all__ = ["ModelMetrics"]

_BATCHES = [1, 2, 4, 8, 16, 32, 64]
_COUNTS = {
    "text_cache_hits": "Texts whose embedding was remembered",
    "text_cache_misses": "Texts whose embedding had to be computed",
}


class ModelMetrics:
    """Counts the batches of one model.

    Args:
        model: its name.
        reasons: why an item may be refused: each is there from the start, at 0, so that its
            first increase is seen as one.
        counts: a service's own counts, by their names.
    """

    def __init__(self, model: str, reasons: Iterable[str], counts: Mapping[str, int]) -> None:
        # Kept, all of them: Triton wants a family to outlive its metrics.
        self._families = {
            "batch": pb_utils.MetricFamily(
                name="align_zoo_batch_items",
                description="Items of a batch, as the model got them",
                kind=pb_utils.MetricFamily.HISTOGRAM,
            ),
            "failure": _counter(
                "align_zoo_decode_failures_total", "Items that could not be used, by the reason"
            ),
            **{name: _counter(f"align_zoo_{name}_total", _COUNTS[name]) for name in counts},
        }
        self._batch = self._families["batch"].Metric(labels={"model": model}, buckets=_BATCHES)
        self._failures = {reason: self._failure(reason) for reason in reasons}
        self._counts = {name: self._families[name].Metric(labels={}) for name in counts}
        self._counted = dict(counts)

    def add(self, answers: Sequence[object], counts: Mapping[str, int]) -> None:
        """Add a batch: the answer to each item, and the service's counts after it."""
        self._batch.observe(len(answers))
        failures = Counter(each.reason for each in answers if isinstance(each, InvalidInput))
        for reason, count in failures.items():
            if reason not in self._failures:
                self._failures[reason] = self._failure(reason)
            self._failures[reason].increment(count)
        for name, count in counts.items():
            if grown := count - self._counted[name]:
                self._counts[name].increment(grown)
        self._counted = dict(counts)

    def _failure(self, reason: str) -> Any:
        return self._families["failure"].Metric(labels={"reason": reason})


def _counter(name: str, description: str) -> Any:
    return pb_utils.MetricFamily(
        name=name, description=description, kind=pb_utils.MetricFamily.COUNTER
    )
