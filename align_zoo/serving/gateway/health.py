"""Whether the service can answer, for whoever asks without a token.

tritonserver's own words are no use here: it says "ready" after a model's process has died.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from align_zoo.serving.gateway.admission import Admission

__all__ = ["Health"]


class Health:
    """Readiness and why.

    Args:
        health: what whoever watches over the servers knows.
        admission: knows whether calls are taken.
    """

    def __init__(self, health: Callable[[], tuple[bool, dict[str, Any]]], admission: Admission):
        self._health = health
        self._admission = admission

    def ready(self) -> bool:
        """Whether a call now would be answered."""
        return self.report()[0]

    def report(self) -> tuple[bool, dict[str, Any]]:
        """Readiness, and what to show to whoever asks why."""
        well, about = self._health()
        ready = well and not self._admission.stopping
        return ready, {**about, "ready": ready, "stopping": self._admission.stopping}
