"""The gateway's numbers for Prometheus."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from align_zoo.serving.gateway.refusal import Reason

__all__ = ["Metrics"]

_MODELS = ("align_image", "align_text")
_CAUSES = ("exited", "model_died", "no_answer")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ITEMS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The gateway's metrics, in a registry of their own.

    >>> metrics = Metrics()
    >>> metrics.restarted("exited")
    >>> print(metrics.text())

    The label ``model`` is a model that the server has, or empty: a caller cannot add labels.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "align_zoo_requests",
            "Inference requests that ended, and calls refused at the door, by gRPC's code",
            ["model", "code"],
            registry=registry,
        )
        self.items = Counter(
            "align_zoo_items", "Images or texts answered", ["model"], registry=registry
        )
        self.request_items = Histogram(
            "align_zoo_request_items",
            "Images or texts of an answered request",
            ["model"],
            registry=registry,
            buckets=_ITEMS,
        )
        self.request_seconds = Histogram(
            "align_zoo_request_seconds",
            "From an answered request's arrival to its answer",
            ["model"],
            registry=registry,
            buckets=_SECONDS,
        )
        self.queue_seconds = Histogram(
            "align_zoo_queue_seconds",
            "What a request waited for its turn",
            ["model"],
            registry=registry,
            buckets=_SECONDS,
        )
        self.rejected = Counter(
            "align_zoo_rejected",
            "Calls that never reached tritonserver, by reason",
            ["model", "reason"],
            registry=registry,
        )
        self.restarts = Counter(
            "align_zoo_restarts", "Restarts of tritonserver, by cause", ["cause"], registry=registry
        )
        self.poisoned = Counter(
            "align_zoo_poisoned_requests",
            "Different requests refused from then on, because the server died of them",
            ["model"],
            registry=registry,
        )
        self._age = Gauge(
            "align_zoo_probe_age_seconds",
            "Since a model answered",
            ["model"],
            registry=registry,
        )
        self._waiting = Gauge(
            "align_zoo_waiting",
            "Requests that wait for their turn",
            ["model"],
            registry=registry,
        )
        self._ready = Gauge(
            "align_zoo_ready", "1 if the service can answer, else 0", registry=registry
        )
        self._begin_at_zero()

    def restarted(self, cause: str) -> None:
        """Count a restart of tritonserver."""
        self.restarts.labels(cause).inc()

    def show_live(
        self,
        ready: Callable[[], bool],
        waiting: Callable[[str], int],
        age: Callable[[str], float],
    ) -> None:
        """Read three gauges at each request for metrics.

        Args:
            ready: whether the service can answer.
            waiting: the requests that wait for a model.
            age: the seconds since a model answered.
        """
        self._ready.set_function(lambda: float(ready()))
        for model in _MODELS:
            self._age.labels(model).set_function(partial(age, model))
            self._waiting.labels(model).set_function(partial(waiting, model))

    def text(self) -> str:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry).decode()

    def _begin_at_zero(self) -> None:
        # Prometheus sees no increase in a counter that begins with 1.
        for model in _MODELS:
            self._age.labels(model).set(math.inf)
            self._waiting.labels(model)
        for cause in _CAUSES:
            self.restarts.labels(cause)
        for model in ("", *_MODELS):
            self.poisoned.labels(model)
            for reason in Reason:
                if reason is not Reason.DIED:
                    self.rejected.labels(model, reason.label)
