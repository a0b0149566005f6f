"""The objects that the handlers of gRPC and HTTP share."""

from __future__ import annotations

from typing import NamedTuple

from align_zoo.serving.gateway.admission import Admission
from align_zoo.serving.gateway.health import Health
from align_zoo.serving.gateway.journal import Journal
from align_zoo.serving.gateway.tokens import Tokens
from align_zoo.serving.gateway.upstream import Upstream
from align_zoo.serving.routing import Supervision

__all__ = ["Parts"]


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
