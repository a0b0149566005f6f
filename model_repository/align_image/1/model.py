"""align_image for Triton: an adapter; the work is done in align_zoo.serving."""

from typing import Any


class TritonPythonModel:
    """What Triton's Python backend looks for by this name."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the tower."""
        # Here, not above: Triton may open this file only to read the model's config.
        from align_zoo.serving.triton_adapter import TritonAdapter

        self.adapter = TritonAdapter("image", args)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a batch of requests, each on its own."""
        return self.adapter.execute(requests)
