"""What sentence-transformers makes of an ALIGN folder: arrays to a file, JSON to stdout.

The JSON has the version and what is said of lists that mix a text with an image.

Usage: sentence_transformers_answers.py IMAGE FOLDER TARGET; TARGET gets arrays.npz and a copy.
"""

import json
import sys

import numpy as np
import sentence_transformers
from PIL import Image
from sentence_transformers import SentenceTransformer

TEXTS = ["a red star", "the digit three and 4"]

image, folder, target = sys.argv[1:]
model = SentenceTransformer(folder, device="cpu")
np.savez(
    target + "/arrays.npz",
    image=model.encode([Image.open(image)], normalize_embeddings=True),
    text=model.encode(TEXTS, normalize_embeddings=True),
)
model.save_pretrained(target + "/copy")
refused = {}
for kind, each in {"PIL image": Image.open(image), "path": image}.items():
    try:
        model.encode([TEXTS[0], each])
    except Exception as error:
        refused[kind] = str(error)
print(json.dumps({"version": sentence_transformers.__version__, "mixed": refused}))
