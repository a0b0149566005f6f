"""ALIGN's image tower behind Triton, as one writes it from the two projects' examples."""

import io
import os

import numpy as np
import torch
import triton_python_backend_utils as pb_utils
from PIL import Image
from transformers import AlignModel, AlignProcessor


class TritonPythonModel:
    """Embeds encoded images; the model computes a whole batch at once."""

    def initialize(self, args):
        """Load the checkpoint."""
        folder = os.environ["HF_ALIGN_FOLDER"]
        self.device = "cuda" if args["model_instance_kind"] == "GPU" else "cpu"
        self.model = AlignModel.from_pretrained(folder).eval().to(self.device)
        self.processor = AlignProcessor.from_pretrained(folder)

    def execute(self, requests):
        """Answer a batch of requests."""
        inputs = [pb_utils.get_input_tensor_by_name(r, "IMAGE").as_numpy() for r in requests]
        items = np.concatenate(inputs).ravel()
        images = [Image.open(io.BytesIO(item)).convert("RGB") for item in items]
        pixels = self.processor(images=images, return_tensors="pt").to(self.device)
        with torch.inference_mode():
            rows = self.model.get_image_features(**pixels).pooler_output
        rows = torch.nn.functional.normalize(rows, dim=-1).cpu().numpy()
        ends = np.cumsum([len(each) for each in inputs])[:-1]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("EMBEDDING", each)])
            for each in np.split(rows, ends)
        ]
