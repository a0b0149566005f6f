"""The objects that the handlers of gRPC and HTTP share."""

from __future__ import annotations

from typing import Any, NamedTuple

from align_zoo.serving.gateway.admission import Admission
from align_zoo.serving.gateway.journal import Journal
from align_zoo.serving.gateway.tokens import Tokens
from align_zoo.serving.gateway.upstream import Upstream
from align_zoo.serving.routing import Supervision

__all__ = ["Health", "Parts"]


class Health:
    """Whether the service can answer and why, for callers without a token.

    tritonserver's own readiness is useless here: tritonserver stays ready after a model's process
    died.

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


class Parts(NamedTuple):
    """The parts of a gateway that both handlers use."""

    admission: Admission
    """Gives each call its backend, after the call's turn in a queue."""
    upstream: Upstream
    """Calls the backend."""
    supervision: Supervision
    """Is notified of answers."""
    tokens: Tokens
    """Checks the bearer token of a call."""
    health: Health
    """Answers the calls about readiness."""
    journal: Journal
    """Counts and logs the outcome of each request."""
