"""The README's figure shows what align_tiny answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from align_zoo.tiny.readme_figure import IMAGES, draw, probabilities

SHOWN = Path(__file__).parents[2] / "docs" / "images" / "zero-shot.png"


def test_each_image_gets_its_own_label():
    table = probabilities()
    np.testing.assert_allclose(table.sum(axis=0), 1, rtol=1e-5)
    assert table.argmax(axis=0).tolist() == list(range(len(IMAGES)))
    assert (np.diag(table) > 0.995).all()  # shown as 100%


def test_the_image_is_drawn_as_shown(tmp_path):
    draw(tmp_path / "zero-shot.png")
    with Image.open(tmp_path / "zero-shot.png") as drawn, Image.open(SHOWN) as shown:
        assert drawn.size == shown.size
        small = [
            np.asarray(each.convert("RGB").resize((80, 45)), dtype=float) for each in (drawn, shown)
        ]
    assert abs(small[0] - small[1]).mean() < 2  # of 255: another font is not another figure
