"""Our encoder without a server, in the runtime that ``load_encoder`` chooses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from protocol import serve

import align_zoo


class AlignZoo:
    """Both towers."""

    def __init__(self, folder: Path) -> None:
        self.encoder = align_zoo.load_encoder(folder)
        # Loads both towers now, so that no call's time includes the loading.
        _ = self.encoder.image, self.encoder.text

    def about(self) -> dict[str, Any]:
        """Return version and runtime."""
        return {"align_zoo": align_zoo.__version__, "runtime": self.encoder.explanation}

    def pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Compute unit rows of preprocessed images."""
        return self.encoder.embed_pixels(pixels)

    def texts(self, texts: list[str]) -> np.ndarray:
        """Compute unit rows of texts."""
        return self.encoder.embed_texts(texts)

    def images(self, paths: list[Path]) -> np.ndarray:
        """Compute unit rows of files."""
        return self.encoder.embed_images(paths)

    def classify(self, image: Path, labels: list[str]) -> dict[str, float]:
        """Compute the softmax of cosines divided by the temperature."""
        cosines = self.encoder.embed_texts(labels) @ self.encoder.embed_images([image])[0]
        logits = cosines.astype(np.float64) / self.encoder.temperature
        weights = np.exp(logits - logits.max())
        return dict(zip(labels, (weights / weights.sum()).tolist(), strict=True))


if __name__ == "__main__":
    serve(AlignZoo)
