"""A Triton model repository that wraps transformers, and its server."""

from __future__ import annotations

from benchmarks.peers.triton_transformers.server import TritonPeer, running

__all__ = ["TritonPeer", "running"]
