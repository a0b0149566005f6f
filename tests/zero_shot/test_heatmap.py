"""A heat map divides a cosine exactly, and its parts lie where they say."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import lively_model, save_checkpoint, small_config
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tries import tries

import align_zoo
from align_zoo.errors import InvalidImage, InvalidInput, InvalidText
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.tiny.concepts import ALL_COLOURS, ALL_SHAPES, Meaning
from align_zoo.tiny.scenes import SCENE_SIZE, draw_scene

ROOT = Path(__file__).parents[2]
STAR = ROOT / "align_zoo" / "assets" / "samples" / "red-star.png"
OTHERS = [
    Meaning(colour, shape)
    for colour in ALL_COLOURS
    for shape in ALL_SHAPES
    if (colour, shape) != ("red", "star")
]


@pytest.fixture(scope="module")
def tiny():
    return align_zoo.create_align("align_tiny")


@pytest.fixture(scope="module")
def encoders():
    return {
        runtime: align_zoo.load_encoder("align_tiny", runtime=runtime, device="cpu")
        for runtime in ("onnx", "torch")
    }


@pytest.fixture(scope="module")
def encoder(encoders):
    return encoders["onnx"]


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """An image of soft spots."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def greatest(heat: align_zoo.Heatmap) -> tuple[float, float]:
    """The centre of the place with the greatest share: x and y."""
    row, column = np.unravel_index(heat.shares.argmax(), heat.shares.shape)
    return float(heat.centres[1][column]), float(heat.centres[0][row])


# The shares


@pytest.mark.parametrize("runtime", ["onnx", "torch", "model"])
@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    size=st.none() | st.integers(64, 200) | st.tuples(st.integers(16, 200), st.integers(16, 200)),
    text=st.text(min_size=1, max_size=40),
    seed=st.integers(0, 1000),
)
@settings(max_examples=tries(60))
def test_shares_add_up_to_the_cosine(runtime, width, height, size, text, seed, encoders, tiny):
    if isinstance(size, int) and not 1 / 8 < width / height < 8:
        size = (size, size)
    image = noise(width, height, seed)
    source = tiny if runtime == "model" else encoders[runtime]
    heat = align_zoo.heatmap(source, image, text, size=size)
    model, transform, tokenizer = tiny
    if isinstance(size, int):
        sides = [size * (height / width) ** 0.5, size * (width / height) ** 0.5]
        size = tuple(max(1, round(side)) for side in sides)
    if size is not None:
        transform = transform.at_size(*size)
    with torch.inference_mode():
        row = model.encode_image(transform(image)[None], normalize=True).numpy()
        texts = model.encode_text(tokenizer([text]), normalize=True).numpy()
    if source is not tiny:  # ONNX Runtime's texts differ by up to 2e-6
        texts = source.embed_texts(text)
    cosine = float(row[0].astype(np.float64) @ texts[0])
    assert heat.shares.dtype == np.float32
    assert heat.score == pytest.approx(cosine, abs=1e-6)
    assert heat.shares.sum() == pytest.approx(cosine, abs=1e-6)


@pytest.mark.parametrize("size", [None, 98, (50, 130)])
def test_other_text_is_taken_off(size, encoder):
    one, other, both = (
        align_zoo.heatmap(encoder, STAR, text, against=against, size=size)
        for text, against in [("star", None), ("ring", None), ("star", "ring")]
    )
    np.testing.assert_allclose(both.shares, one.shares - other.shares, atol=1e-6)
    assert both.score == pytest.approx(one.score - other.score, abs=1e-6)
    assert both.usual_score == pytest.approx(one.usual_score - other.usual_score, abs=1e-6)


def test_usual_score_is_the_encoders(encoder):
    cosine = float(encoder.embed_images(STAR)[0] @ encoder.embed_texts("a red star")[0])
    heat = align_zoo.heatmap(encoder, STAR, "a red star", size=196)
    assert heat.usual_score == pytest.approx(cosine, abs=1e-6)
    assert heat.score != pytest.approx(cosine, abs=1e-2)


@pytest.mark.parametrize("size", [None, 130])
def test_runtimes_agree(size, encoders, tiny):
    first, *others = (
        align_zoo.heatmap(source, STAR, "a red star", size=size).shares
        for source in (tiny, *encoders.values())
    )
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-6)


def test_several_texts_take_one_pass(encoder):
    passes = []

    class Counted:
        def features(self, pixels):
            passes.append(len(pixels))
            return encoder.image.features(pixels)

    counted = replace(encoder, load_image=Counted)
    texts = ["a red star", "a ring", "a red star"]
    heats = align_zoo.heatmaps(counted, STAR, texts, against="a square")
    assert passes == [1]
    for text, heat in zip(texts, heats, strict=True):
        alone = align_zoo.heatmap(encoder, STAR, text, against="a square")
        assert (heat.text, heat.against) == (text, "a square")
        np.testing.assert_allclose(heat.shares, alone.shares, atol=1e-6)


def test_torch_is_not_imported(encoder):
    code = f"""
import sys, align_zoo
heat = align_zoo.heatmap(align_zoo.load_encoder("align_tiny"), {str(STAR)!r}, "star", size=98)
heat.overlay()
print(heat.score, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    score, torch_was_imported = done.stdout.split()
    assert torch_was_imported == "False", done.stderr
    assert float(score) == align_zoo.heatmap(encoder, STAR, "star", size=98).score


# Where the places are


def test_red_star_has_the_greatest_share(encoder):
    count, hits = tries(300), 0
    for seed in range(count):
        rng = np.random.default_rng(seed)
        other = OTHERS[int(rng.integers(len(OTHERS)))]
        image, (x, y, radius), _ = draw_scene(Meaning("red", "star"), other, rng)
        heat = align_zoo.heatmap(encoder, image, "red star", size=SCENE_SIZE)
        hits += bool(np.hypot(*np.subtract(greatest(heat), (x, y))) <= radius)
    assert hits / count >= 0.9


@pytest.mark.parametrize(
    "vision",
    [
        pytest.param({}, id="as-published"),
        pytest.param({"depthwise_padding": [1]}, id="one-pads-both-sides"),
        pytest.param({"depthwise_padding": [*range(60)]}, id="all-pad-both-sides"),
        pytest.param({"strides": [1, 2, 1, 2, 1, 1, 1]}, id="other-strides"),
    ],
)
def test_centres_are_those_of_receptive_fields(vision, tmp_path):
    small = {"depth_coefficient": 0.1, "width_coefficient": 0.1, **vision}
    folder = save_checkpoint(lively_model(small_config(small, projection_dim=32)), tmp_path / "c")
    tower = align_zoo.create_align(folder)[0].image
    for stage in tower.blocks:  # squeeze-and-excitation sees the whole image
        for block in stage:
            block.se = torch.nn.Identity()
    x = torch.randn(1, 3, 515, 515, requires_grad=True)
    features = tower.feature_maps(x)
    distance, first = tower.config.grid
    for place in range(features.shape[2]):
        (gradient,) = torch.autograd.grad(features[0, :, place, 8].sum(), x, retain_graph=True)
        rows = gradient[0].abs().sum((0, 2)).nonzero()
        if rows.min() > 0 and rows.max() < 514:
            break
    centre = (rows.min() + rows.max() + 1).item() / 2
    assert centre == first + distance * place


@pytest.mark.parametrize(("width", "height"), [(100, 100), (40, 300), (500, 31)])
@pytest.mark.parametrize("size", [None, (98, 130)])
def test_places_divide_the_part_that_is_seen(width, height, size, encoder):
    heat = align_zoo.heatmap(encoder, noise(width, height), "star", size=size)
    left, top, right, bottom = heat.part
    for edges, centres, first, last, count in zip(
        heat.edges, heat.centres, (top, left), (bottom, right), heat.shares.shape, strict=True
    ):
        assert (edges[0], edges[-1], len(edges)) == (first, last, count + 1)
        assert np.all((edges[:-1] < centres) & (centres < edges[1:]))
    assert (left / width, right / width) == pytest.approx((4 / 58, 53 / 58), abs=0.01)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"do_resize": False, "do_center_crop": False}, (0, 0, 100, 60)),
        ({"do_resize": False, "crop_size": 49}, (25, 5, 74, 54)),
        ({"size": 49, "do_center_crop": False}, (0, 0, 100, 60)),
        ({"size": 98, "crop_size": 49}, (24 / 0.98, 24 / 98 * 60, 73 / 0.98, 73 / 98 * 60)),
    ],
    ids=["neither", "crop", "resize", "both"],
)
def test_part_follows_the_preprocessing(options, part, encoder):
    other = replace(encoder, transform=encoder.transform.with_options(**options))
    heat = align_zoo.heatmap(other, noise(100, 60), "star")
    assert heat.part == pytest.approx(part)


@pytest.mark.parametrize("options", [{}, {"do_center_crop": False}])
def test_larger_input_shows_the_same_part(options):
    transform = AlignTransform.from_dict({"image_processor_type": "EfficientNetImageProcessor"})
    transform = transform.with_options(**options)
    height, width = transform.input_size
    larger = transform.at_size(3 * height, 2 * width)
    assert larger.input_size == (3 * height, 2 * width)
    assert larger.part(640, 480) == pytest.approx(transform.part(640, 480), abs=1)


def test_number_keeps_the_images_proportions(encoder):
    heat = align_zoo.heatmap(encoder, noise(400, 100), "star", size=160)
    assert heat.shares.shape == (80 // 16, 320 // 16)


def test_orientation_turns_the_map(encoder):
    image = noise(120, 60)
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # stored a quarter to the left
    image.transpose(Image.Transpose.ROTATE_90).save(file, "PNG", exif=exif)
    turned = align_zoo.heatmap(encoder, file.getvalue(), "star", size=98)
    upright = align_zoo.heatmap(encoder, image, "star", size=98)
    assert turned.image.size == (120, 60)
    np.testing.assert_array_equal(turned.shares, upright.shares)


# What cannot be done


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"size": 0}, InvalidInput, "the size is 0; give a whole number above 0"),
        ({"size": (98, 98, 3)}, InvalidInput, "or a height and a width"),
        ({"size": "98"}, InvalidInput, "the size is '98'"),
        ({"size": 9_000}, InvalidInput, "take a smaller one"),
        ({"size": 8}, InvalidImage, "this tower takes sides of 16 and more"),
        ({"image": "none.png"}, InvalidImage, "'none.png' does not exist"),
        ({"image": b"text"}, InvalidImage, "not an image in an accepted format"),
        ({"image": None}, InvalidImage, "neither a path nor an encoded image"),
        ({"text": 7}, InvalidText, "text 0 is a int, not a string"),
        ({"against": 7}, InvalidText, "text 0 is a int, not a string"),
        ({"model": "align_tiny"}, InvalidInput, "a str is no encoder; give what"),
        ({"model": 7}, InvalidInput, "a int is no encoder; give what"),
    ],
)
def test_wrong_argument_is_named(options, error, words, encoder):
    arguments = {"model": encoder, "image": STAR, "text": "star", **options}
    with pytest.raises(error, match=re.escape(words)):
        align_zoo.heatmap(**arguments)


def test_model_in_training_is_refused():
    parts = align_zoo.create_align("align_tiny")
    parts[0].train()
    with pytest.raises(InvalidInput, match=r"call model\.eval"):
        align_zoo.heatmap(parts, STAR, "star")


def test_maximum_has_no_shares(tmp_path):
    model = lively_model(small_config({"pooling_type": "max"}))
    parts = align_zoo.create_align(save_checkpoint(model, tmp_path / "max"))
    with pytest.raises(InvalidInput, match="pools by 'max'"):
        align_zoo.heatmap(parts, STAR, "cat")
