"""align_image for Triton: an adapter; the work is done in align_zoo.serving."""

import os
from typing import Any


class TritonPythonModel:
    """What Triton's Python backend looks for by this name."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the tower."""
        # OpenMP reads it when torch is loaded. Threads that spin while they wait make a small
        # image take 600 ms instead of 7 as soon as anything else wants the cores.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        # Here, not above: Triton may open this file only to read the model's config.
        from align_zoo.serving.model.adapter import TritonAdapter

        self.adapter = TritonAdapter("image", args)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a batch of requests, each on its own."""
        return self.adapter.execute(requests)
