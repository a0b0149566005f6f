"""SVGs become pixels, once."""

import numpy as np
import pytest

from align_zoo.emoji import drawings as module
from align_zoo.emoji.concepts import Concept, Icon
from align_zoo.emoji.drawings import Drawings, load_drawings, render

RED_RIGHT = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8">'
    '<path fill="#f00" fill-opacity="0.5" d="M4 0h4v8h-4z"/></svg>'
)


def test_pixels_are_premultiplied():
    pixels = render(RED_RIGHT, 16)
    assert pixels.shape == (16, 16, 4)
    assert pixels[:, :8].max() == 0
    np.testing.assert_allclose(pixels[4, 12], [128, 0, 0, 128], atol=1)


def test_a_wide_drawing_is_centred():
    pixels = render(RED_RIGHT.replace("0 0 8 8", "0 0 8 4").replace("v8", "v4"), 16)
    assert pixels[:4].max() == pixels[12:].max() == 0
    assert pixels[4:12, 8:, 3].min() > 0


def test_drawings_are_rendered_once(tmp_path, monkeypatch):
    concepts = [Concept(str(i), f"thing {i}", (), "objects", "tool") for i in range(120)]
    icons = [Icon(each.hexcode, "noto", RED_RIGHT) for each in concepts[:3]]
    monkeypatch.setattr(module, "load_icons", lambda folder: icons)
    monkeypatch.setattr(module, "load_concepts", lambda folder, icons: concepts)
    first = load_drawings(tmp_path)
    monkeypatch.setattr(module, "render", None)
    again = load_drawings(tmp_path)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert first.concept.tolist() == [0, 1, 2]
    assert first.held_out.sum() == 100


def test_transparent_parts_become_white():
    pixels = render(RED_RIGHT)[None]
    drawing = Drawings([], pixels, np.zeros(1, np.int64), ["noto"])
    white = drawing.on_white(np.array([0]))[0]
    assert (white[:, 0] == 255).all()
    np.testing.assert_allclose(white[50, 90], [255, 127, 127], atol=1)


@pytest.mark.parametrize("held_out", [False, True])
def test_rows_are_of_styles_and_kinds_of_concepts(drawings, held_out):
    rows = drawings.rows(["noto", "twemoji"], held_out=held_out)
    assert len(rows) == 2 * (100 if held_out else 12)
    assert {drawings.style[row] for row in rows} == {"noto", "twemoji"}
    assert (drawings.held_out[drawings.concept[rows]] == held_out).all()
