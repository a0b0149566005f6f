"""The drawing of a heat map has its colours where the shares are, at any size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tries import tries

import align_zoo
from align_zoo.tiny.concepts import Meaning
from align_zoo.tiny.scenes import SCENE_SIZE, draw_scene

STAR = Path(align_zoo.__file__).parent / "assets" / "samples" / "red-star.png"


@pytest.fixture(scope="module")
def encoder():
    return align_zoo.load_encoder("align_tiny", runtime="onnx", device="cpu")


def pixel_at(heat: align_zoo.Heatmap, place: int) -> tuple[int, int]:
    """The row and the column of a place's centre in the image."""
    row, column = np.unravel_index(place, heat.shares.shape)
    return int(heat.centres[0][row]), int(heat.centres[1][column])


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("against", [None, "a ring"])
def test_colour_is_where_the_share_is(against, dark, encoder):
    image = draw_scene(
        Meaning("red", "star"), Meaning("blue", "ring"), np.random.default_rng(1)
    ).image
    heat = align_zoo.heatmap(encoder, image, "a red star", against=against, size=SCENE_SIZE)
    pixels = np.asarray(heat.overlay(dark=dark), dtype=float)
    assert pixels.shape == (image.height, image.width, 3)
    colourful = np.ptp(pixels, axis=2)
    assert colourful[pixel_at(heat, heat.shares.argmax())] > 0.5 * colourful.max() > 30
    assert colourful[0].max() == 0  # outside of the part that is seen


def test_difference_has_two_colours(encoder):
    one, other = Meaning("red", "star"), Meaning("pink", "triangle")
    image = draw_scene(one, other, np.random.default_rng(3)).image
    heat = align_zoo.heatmap(
        encoder, image, "a red star", against="a pink triangle", size=SCENE_SIZE
    )
    pixels = np.asarray(heat.overlay(), dtype=float)
    warmth = pixels[..., 0] - pixels[..., 2]
    assert warmth[pixel_at(heat, heat.shares.argmax())] > 30
    assert warmth[pixel_at(heat, heat.shares.argmin())] < -30


def test_map_without_positive_shares_has_no_colour(encoder):
    heat = align_zoo.heatmap(encoder, STAR, "star")
    grey = np.asarray(replace(heat, shares=-np.abs(heat.shares)).overlay())
    assert np.ptp(grey, axis=2).max() == 0


@pytest.mark.parametrize(
    ("size", "drawn"), [((640, 320), (640, 320)), ((8000, 4000), (2048, 1024))]
)
def test_overlay_takes_another_size(size, drawn, encoder):
    heat = align_zoo.heatmap(encoder, STAR, "star")
    assert heat.overlay(heat.image.resize(size)).size == drawn


@given(width=st.integers(1, 200), height=st.integers(1, 200), rows=st.integers(16, 70))
@settings(max_examples=tries(60))
def test_overlay_fits_any_image(width, height, rows, encoder):
    image = Image.open(STAR).resize((width, height))
    heat = align_zoo.heatmap(encoder, image, "star", size=(rows, 49))
    assert heat.overlay().size == (width, height)
