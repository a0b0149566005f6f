"""What this environment's transformers makes of ALIGN folders: arrays to files, JSON to stdout.

Usage: transformers_answers.py IMAGE [FOLDER TARGET]...; TARGET gets arrays.npz and a copy.
"""

import json
import sys

import numpy as np
import torch
import transformers
from PIL import Image
from transformers import AlignModel, AlignProcessor

TEXTS = ["a red star", "the digit three and 4"]


def answer(folder, target):
    processor = AlignProcessor.from_pretrained(folder)
    inputs = processor(text=TEXTS, images=Image.open(image), padding=True, return_tensors="pt")
    model = AlignModel.from_pretrained(folder).eval()
    with torch.no_grad():
        out = model(**inputs)
    np.savez(
        target + "/arrays.npz",
        input_ids=inputs["input_ids"].numpy(),
        pixels=inputs["pixel_values"].numpy(),
        image=out.image_embeds.numpy(),
        text=out.text_embeds.numpy(),
        logits=out.logits_per_image.numpy(),
    )
    processor.save_pretrained(target + "/copy")
    model.save_pretrained(target + "/copy")


image, *pairs = sys.argv[1:]
errors = {}
for folder, target in zip(pairs[::2], pairs[1::2]):
    try:
        answer(folder, target)
    except Exception as error:
        errors[folder] = f"{type(error).__name__}: {error}"
print(json.dumps({"version": transformers.__version__, "errors": errors}))
