"""A Triton model repository that just wraps transformers, and a server of it."""

from __future__ import annotations

from benchmarks.peers.triton_transformers.server import TritonPeer, running

__all__ = ["TritonPeer", "running"]
