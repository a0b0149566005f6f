"""What MTEB gets from our encoder: JSON to stdout.

Usage: mteb_answers.py MODEL TEXTS IMAGES; both lists as JSON, images by their paths.
"""

import json
import sys

import mteb
from PIL import Image

from align_zoo.integrations.mteb import AlignEncoder

model, texts, images = sys.argv[1], *map(json.loads, sys.argv[2:])
encoder = AlignEncoder(model)
assert isinstance(encoder, mteb.EncoderProtocol)
images = [Image.open(path) for path in images]


def batches(**columns):
    """One item in the last batch, two in the others."""
    rows = len(next(iter(columns.values())))
    return [{name: each[i : i + 2] for name, each in columns.items()} for i in range(0, rows, 2)]


print(
    json.dumps(
        {
            "texts": encoder.encode(batches(text=texts)).tolist(),
            "images": encoder.encode(batches(image=images)).tolist(),
            "both": encoder.encode(batches(text=texts, image=images)).tolist(),
            "name": encoder.mteb_model_meta.name,
            "width": encoder.mteb_model_meta.embed_dim,
        }
    )
)
