"""The fast way to pixels gives the plain way's arrays to the bit, and leaves images alone."""

from __future__ import annotations

import io

import numpy as np
import pytest
from checkpoints import PREPROCESSOR
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from tries import tries

from align_zoo.inputs.decode import decode_image, to_rgb
from align_zoo.inputs.preprocess import AlignTransform

OPTIONS = [
    {},
    {"do_normalize": True, "image_std": [0.2, 0.3, 0.4], "image_mean": [0.1, 0.5, 0.7]},
    {"do_normalize": True, "include_top": True, "image_std": [0.2, 0.3, 0.4]},
    {"do_rescale": False},
    {"rescale_factor": 1 / 255, "rescale_offset": False},
]


def drawn_image(mode: str = "RGB", width: int = 61, height: int = 47) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def turned(image: Image.Image, orientation: int, kind: str = "PNG") -> bytes:
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    image.save(file, kind, exif=exif)
    return file.getvalue()


def plainly(transform: AlignTransform, image: Image.Image) -> np.ndarray:
    """The whole image at once, in float64."""
    image = ImageOps.exif_transpose(image).convert("RGB")
    if transform.size:
        image = image.resize(transform.size[::-1], transform.resample)
    pixels = np.asarray(image)
    if transform.crop:
        top, left = [(has - wants) // 2 for has, wants in zip(pixels.shape, transform.crop)]
        pixels = pixels[top : top + transform.crop[0], left : left + transform.crop[1]]
    scaled = pixels.astype(np.float64) * transform.scale + np.array(transform.offset)
    return scaled.transpose(2, 0, 1).astype(np.float32)


@pytest.mark.parametrize(
    ("width", "height"),
    [
        pytest.param(1, 1, id="one-pixel"),
        pytest.param(7, 3000, id="narrow"),
        # Pillow has an image of more than 16 MB in several pieces of memory.
        pytest.param(2049, 2048, id="several-pieces"),
    ],
)
def test_pixels_of_every_size_are_read_whole(width, height):
    transform = AlignTransform.from_dict(
        {**PREPROCESSOR, "do_resize": False, "do_center_crop": False}
    )
    image = drawn_image(width=width, height=height)
    np.testing.assert_array_equal(transform.to_array(image), plainly(transform, image))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_each_channel_level_is_rounded_once(options):
    transform = AlignTransform.from_dict(
        {**PREPROCESSOR, "do_resize": False, "do_center_crop": False, **options}
    )
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(np.stack([levels, levels.T, levels[::-1]], -1))
    got = transform.to_array(image)
    assert got.dtype == np.float32 and got.flags["C_CONTIGUOUS"]
    assert np.array_equal(got, plainly(transform, image))


@settings(max_examples=tries(60), deadline=None)
@given(
    options=st.sampled_from(OPTIONS),
    mode=st.sampled_from(["RGB", "L", "RGBA", "CMYK", "1", "LA", "YCbCr"]),
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    resample=st.integers(0, 5),
    orientation=st.integers(1, 8),
)
def test_fast_path_equals_the_plain_path(options, mode, width, height, resample, orientation):
    transform = AlignTransform.from_dict({**PREPROCESSOR, **options, "resample": resample})
    image = drawn_image(mode, width, height)
    assert np.array_equal(transform.to_array(image), plainly(transform, image))
    data = turned(image.convert("RGB"), orientation)
    opened = Image.open(io.BytesIO(data))
    assert np.array_equal(transform.to_array(decode_image(data)), plainly(transform, opened))


@pytest.mark.parametrize("orientation", [0, 1, 9])
def test_unchanged_image_is_not_copied(orientation):
    image = drawn_image()
    assert to_rgb(image) is image
    opened = Image.open(io.BytesIO(turned(image, orientation)))
    assert to_rgb(opened) is opened


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_an_image_is_left_as_it_was(mode, orientation):
    image = Image.open(io.BytesIO(turned(drawn_image(mode), orientation)))
    image.load()
    before = (image.mode, image.size, image.tobytes(), dict(image.info))
    first = AlignTransform.from_dict(PREPROCESSOR).to_array(image)
    assert (image.mode, image.size, image.tobytes(), image.info) == before
    assert np.array_equal(AlignTransform.from_dict(PREPROCESSOR).to_array(image), first)
