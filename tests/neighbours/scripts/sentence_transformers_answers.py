"""What sentence-transformers makes of an ALIGN folder: arrays to a file, JSON to stdout.

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
print(json.dumps({"version": sentence_transformers.__version__}))
