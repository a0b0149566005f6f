"""FiftyOne embeds, searches and labels a dataset, in its own database."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from environments import adapter, run

SCRIPT = Path(__file__).parent / "scripts" / "fiftyone_answers.py"
WAYS = ["one by one", "batches"]


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter; FiftyOne's database and settings are in a folder of this test.

    That mongod was built for OpenSSL 1.1, which OpenCV's wheel has and current systems have not.
    """
    python, home = adapter("fiftyone"), tmp_path_factory.mktemp("fiftyone")
    for name in ("libcrypto", "libssl"):
        (library,) = python.parents[1].glob(f"lib/*/*/opencv_python_headless.libs/{name}-*.so.1.1*")
        (home / f"{name}.so.1.1").symlink_to(library)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("LD_LIBRARY_PATH", str(home))
        patch.setenv("FIFTYONE_DATABASE_DIR", str(home / "database"))
        patch.setenv("FIFTYONE_DO_NOT_TRACK", "true")
        yield python


@pytest.fixture(scope="module")
def found(python, texts, images) -> dict:
    return run(python, SCRIPT, json.dumps(texts), json.dumps([*map(str, images)]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["texts", "images"])
def test_vectors_are_those_of_transformers(found, expected, kind, way):
    np.testing.assert_allclose(found[kind][way], expected[kind], rtol=0, atol=1e-5)


def test_labels_are_the_nearest_classes(found, texts, expected):
    nearest = (expected["images"] @ expected["texts"].T).argmax(1)
    assert found["labels"] == {way: [texts[i] for i in nearest] for way in WAYS}


def test_texts_find_the_nearest_images(found, images, expected):
    nearest = (expected["texts"] @ expected["images"].T).argmax(1)
    assert found["found"] == [str(images[i]) for i in nearest]


def test_example_labels_and_finds_the_image(example, python):
    label, path = example("FiftyOne", python)[-2:]
    assert label == "red star"
    assert path.endswith("red-star.png")
