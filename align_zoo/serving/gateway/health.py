"""Whether the service can answer, for callers without a token.

tritonserver's own readiness is useless here: tritonserver stays ready after a model's process died.
"""

from __future__ import annotations

from typing import Any

from align_zoo.serving.gateway.admission import Admission
from align_zoo.serving.routing import Supervision

__all__ = ["Health"]


class Health:
    """Readiness and why.

    Args:
        supervision: knows the health of the servers.
        admission: knows whether calls are accepted.
    """

    def __init__(self, supervision: Supervision, admission: Admission) -> None:
        self._supervision = supervision
        self._admission = admission

    def ready(self) -> bool:
        """Return whether a call would be answered now."""
        return self.report()[0]

    def report(self) -> tuple[bool, dict[str, Any]]:
        """Return the readiness, and a JSON-able dictionary with the reasons."""
        well, about = self._supervision.health()
        ready = well and not self._admission.stopping
        return ready, {**about, "ready": ready, "stopping": self._admission.stopping}
