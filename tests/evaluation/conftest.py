"""Images drawn for the evaluation: folders of classes, and files of captions."""

from __future__ import annotations

import csv
import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from align_zoo.evaluation.checkpoint import load
from align_zoo.tiny.concepts import ALL_COLOURS, ALL_SHAPES, COLOURS, SHAPES, Meaning
from align_zoo.tiny.evaluate import shape_examples
from align_zoo.tiny.images import draw_image


@pytest.fixture(scope="session")
def tiny():
    """align_tiny, as an evaluation loads it."""
    return load("align_tiny")


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> Path:
    """36 folders, ``red_star`` and the like, of 10 images: more than one shard."""
    root = tmp_path_factory.mktemp("shapes")
    examples = shape_examples(list(product(COLOURS, SHAPES)), each=10, seed=77)
    for i, example in enumerate(examples):
        folder = root / f"{example.meaning.colour}_{example.meaning.shape}"
        folder.mkdir(exist_ok=True)
        example.image.save(folder / f"{i:03}.png")
    return root


@pytest.fixture(scope="session")
def captions(tmp_path_factory) -> Path:
    """COCO's JSON about 80 images of one thing each, with three captions an image.

    ``captions.csv`` beside it says the same.
    """
    root = tmp_path_factory.mktemp("captions")
    rng = np.random.default_rng(78)
    images, annotations, rows = [], [], []
    for i, (colour, shape) in enumerate(product(ALL_COLOURS, ALL_SHAPES)):
        name, key = f"images/{i}.png", 1000 - i
        (root / "images").mkdir(exist_ok=True)
        draw_image(Meaning(colour, shape=shape), rng).save(root / name)
        images.append({"id": key, "file_name": name})
        for form in ("a {} {}", "a photo of a {} {}", "the {} {}"):
            text = form.format(colour, shape)
            annotations.append({"id": len(rows), "image_id": key, "caption": text})
            rows.append((name, text))
    annotations = [annotations[i] for i in rng.permutation(len(annotations))]
    path = root / "captions.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    with (root / "captions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "caption"), *rows])
    return path
