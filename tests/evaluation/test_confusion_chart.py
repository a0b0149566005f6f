"""The confusion matrix can be read, however many classes there are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from align_zoo.evaluation.confusion_chart import draw_confusion


def drawn(path, confusion, names=None):
    names = names or [f"class {i}" for i in range(len(confusion))]
    draw_confusion(confusion, names, path)
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


@pytest.mark.parametrize("classes", [2, 30, 60, 61, 300])
def test_confusion_image_has_a_size_limit(classes, tmp_path):
    pixels = drawn(tmp_path / "c.png", torch.eye(classes, dtype=torch.long) * 3)
    assert min(pixels.shape) > 400
    assert max(pixels.shape) < 2600
    assert [path.name for path in tmp_path.iterdir()] == ["c.png"]


@pytest.mark.parametrize("classes", [5, 100])
def test_a_rare_confusion_is_seen(classes, tmp_path):
    right = torch.eye(classes, dtype=torch.long) * 50
    wrong = right.clone()
    wrong[classes // 2, 0] = 1
    before, after = drawn(tmp_path / "a.png", right), drawn(tmp_path / "b.png", wrong)
    assert before.shape == after.shape
    plot = np.s_[before.shape[0] // 16 :]  # below the title, which counts the images
    assert (np.abs(before[plot].astype(int) - after[plot]) > 10).sum() > 50


def test_empty_classes_and_unusual_names_are_drawn(tmp_path):
    confusion = torch.tensor([[2, 1, 0], [0, 0, 0], [0, 0, 3]])
    drawn(tmp_path / "c.png", confusion, ["$x_1 \\frac", "é" * 300, "{}"])
