"""The peers that align-zoo is compared with, each in an environment or a process of its own."""

from __future__ import annotations

__all__ = ["PeerUnavailable"]


class PeerUnavailable(Exception):
    """A peer cannot be installed, or does not load the checkpoint; the message has its words."""
