"""transformers' AlignModel, as its documentation shows it: eager, float32, default threads."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from protocol import serve
from transformers import AlignModel, AutoImageProcessor, AutoTokenizer, pipeline


class Transformers:
    """The model, its processor's two halves, and the pipeline over the same model."""

    def __init__(self, folder: Path) -> None:
        self.model = AlignModel.from_pretrained(folder).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.image_processor = AutoImageProcessor.from_pretrained(folder)

    @cached_property
    def pipeline(self) -> Any:
        """The pipeline over the loaded model; a second copy would count as memory."""
        return pipeline(
            "zero-shot-image-classification",
            model=self.model,
            tokenizer=self.tokenizer,
            image_processor=self.image_processor,
        )

    def about(self) -> dict[str, Any]:
        """Return versions, threads, and the class of the image processor."""
        return {
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "image_processor": type(self.image_processor).__name__,
        }

    @torch.inference_mode()
    def pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Compute unit rows of preprocessed images, all at once."""
        return _unit(self.model.get_image_features(torch.from_numpy(pixels)).pooler_output)

    @torch.inference_mode()
    def texts(self, texts: list[str]) -> np.ndarray:
        """Compute unit rows of texts, all at once, padded as AlignProcessor pads by default."""
        tokens = self.tokenizer(
            texts, padding="max_length", max_length=64, truncation=True, return_tensors="pt"
        )
        return _unit(self.model.get_text_features(**tokens).pooler_output)

    @torch.inference_mode()
    def images(self, paths: list[Path]) -> np.ndarray:
        """Compute unit rows of files, all at once."""
        images = [Image.open(path).convert("RGB") for path in paths]
        pixels = self.image_processor(images=images, return_tensors="pt")["pixel_values"]
        return _unit(self.model.get_image_features(pixels).pooler_output)

    def classify(self, image: Path, labels: list[str]) -> dict[str, float]:
        """Return the pipeline's scores, the best first."""
        answer = self.pipeline(str(image), candidate_labels=labels, hypothesis_template="{}")
        return {each["label"]: each["score"] for each in answer}


def _unit(rows: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(rows, dim=-1).numpy()


if __name__ == "__main__":
    serve(Transformers)
