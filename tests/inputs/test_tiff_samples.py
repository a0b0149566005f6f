"""TIFF samples of every layout have tifffile's values, or are refused by name."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import tifffile
from PIL import Image
from tiff_files import CHANNELS, COMPRESSIONS, Layout, colour_map, samples, tiff_file

from align_zoo import InvalidImage
from align_zoo.inputs.decode import decode_image
from align_zoo.inputs.pixels import PixelError, eight_bit, tiff_gap

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of odd files

BITS = [
    (1, 1),
    (2, 1),
    (4, 1),
    (8, 1),
    (12, 1),
    (16, 1),
    (32, 1),
    (8, 2),
    (16, 2),
    (32, 2),
    (32, 3),
]
EXTRA = [(), (0,), (1,), (2,)]
WAYS = list(itertools.product("<>", [False, True], COMPRESSIONS, [False, True], [64, 5], [1, 2]))
NAMES = {0: "min-is-white", 1: "min-is-black", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}

ACCEPTED = {
    0: {(1, ()), (2, ()), (4, ()), (8, ()), (8, (0,))},
    1: {(bits, ()) for bits in (1, 2, 4, 8, 12, 16)}
    | {(8, (0,)), (12, (0,)), (16, (0,))}
    | {(8, (1,)), (8, (2,))},
    2: {(bits, extra) for bits in (8, 16) for extra in EXTRA},
    3: {(1, ()), (2, ()), (4, ()), (8, ()), (8, (0,)), (8, (2,))},
    5: {(8, ()), (8, (0,)), (16, ()), (16, (0,))},
    6: {(8, ())},
}
"""Bits and extra samples that are answered in one way of writing at least."""


def layouts(photometric: int, bits: int, sample_format: int, extra: tuple) -> Iterator[Layout]:
    """Ways of writing in turns: every second compression each time, for there are many."""
    for i, (order, separate, compression, tiled, rows, fill) in enumerate(WAYS):
        if separate and CHANNELS[photometric] + len(extra) == 1:
            continue
        if (i + bits) % 3 or (tiled and rows != 64) or (compression == 32946 and order == ">"):
            continue
        predictor = compression in (5, 8) and bits in (8, 16) and i % 2 == 0
        yield Layout(
            photometric,
            bits,
            sample_format,
            extra,
            order,
            separate,
            compression,
            predictor,
            tiled,
            rows,
            fill,
        )


def tifffiles(layout: Layout, data: bytes) -> np.ndarray:
    """The samples [height, width, channels] that the second decoder reads."""
    page = tifffile.TiffFile(io.BytesIO(data)).pages[0]
    read = np.asarray(page.asarray())
    read = np.moveaxis(read, 0, -1) if layout.separate else read
    return read.reshape(page.imagelength, page.imagewidth, layout.channels).astype(float)


def as_rgb(layout: Layout, read: np.ndarray) -> np.ndarray:
    """What the samples stand for, in 0 to 255, by the TIFF specification."""
    colours, most = CHANNELS[layout.photometric], 2**layout.bits - 1
    scale = read[..., [colours]] if layout.extra == (1,) else most  # alpha is multiplied in
    values = read[..., :colours] if layout.photometric == 3 else read[..., :colours] / scale
    if layout.photometric == 3:
        return colour_map(layout.bits)[:, values[..., 0].astype(int)].transpose(1, 2, 0) / 257
    if layout.photometric == 5:
        return 255 * (1 - values[..., :3]) * (1 - values[..., 3:])
    if layout.photometric == 6:
        y, cb, cr = (values * 255 - [0, 128, 128]).transpose(2, 0, 1)
        rgb = [y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb]
        return np.clip(np.stack(rgb, -1), 0, 255)
    values = 1 - values if layout.photometric == 0 else values
    return np.broadcast_to(values, (*values.shape[:2], 3)) * 255


@pytest.mark.parametrize("bits", BITS, ids=lambda bits: f"{bits[0]}{'uif'[bits[1] - 1]}")
@pytest.mark.parametrize("photometric", NAMES, ids=NAMES.get)
def test_samples_decode_as_by_tifffile_or_are_refused(photometric, bits):
    answered = set()
    for extra in EXTRA:
        if (photometric == 3 and (bits[0] > 8 or bits[1] > 1)) or (photometric == 6 and extra):
            continue
        pixels = samples(Layout(photometric, *bits, extra))
        for layout in layouts(photometric, *bits, extra):
            data = tiff_file(layout, pixels)
            try:
                got = np.asarray(decode_image(data))
            except InvalidImage as error:
                assert "samples" in str(error), f"{layout}: {error}"
                continue
            read = tifffiles(layout, data)
            assert np.array_equal(read, pixels), layout
            # Pillow takes the high byte of 16 bits of colour, and rounds for alpha and for ink.
            most = 3 if layout.bits == 16 and extra == (1,) else 2 if photometric == 5 else 1
            assert np.abs(got - as_rgb(layout, read)).max() <= most, layout
            answered.add((bits[0], extra))
    expected = {each for each in ACCEPTED[photometric] if each[0] == bits[0] and bits[1] == 1}
    assert answered == expected


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
def test_grey_is_scaled_and_rounded_once(bits):
    layout = Layout(1, bits)
    pixels = samples(layout)
    exact = np.round(pixels[..., 0] * (255 / (2**bits - 1)))
    assert np.array_equal(np.asarray(decode_image(tiff_file(layout, pixels)))[..., 0], exact)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("compression", [1, 5])
def test_every_orientation_is_honoured_at_every_depth(orientation, bits, compression):
    layout = Layout(1, bits, compression=compression, orientation=orientation)
    pixels = samples(layout)
    upright = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: a.T[:, ::-1],
        7: lambda a: a.T[::-1, ::-1],
        8: lambda a: a.T[::-1],
    }[orientation](np.round(pixels[..., 0] * (255 / (2**bits - 1))))
    assert np.array_equal(np.asarray(decode_image(tiff_file(layout, pixels)))[..., 0], upright)


def test_lab_is_what_its_definition_says():
    lab = np.random.default_rng(0).integers([40, -15, -15], [90, 15, 15], (9, 9, 3))
    stored = (lab * [255 / 100, 1, 1]).round().astype(np.int64).astype(np.uint8)
    light = stored[..., 0] / 255 * 100
    fy = (light + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], -1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.9642, 1, 0.8249]  # D50
    to_srgb = np.array(  # Bradford-adapted to D65
        [[3.1339, -1.6169, -0.4906], [-0.9788, 1.9161, 0.0335], [0.0719, -0.2290, 1.4052]]
    )
    linear = np.clip(xyz @ to_srgb.T, 0, 1)
    srgb = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    got = np.asarray(decode_image(tiff_file(Layout(8, 8), stored)))
    assert np.abs(got - 255 * srgb).max() < 3


UNKNOWN = "with no defined range; convert it to 8 or 16 bits"
LACKING = "which are not supported; convert it to 8-bit RGB"
RGB = {258: (8, 8, 8), 262: 2, 277: 3}
GREY_ALPHA = {258: (8, 8), 262: 1, 277: 2, 338: (1,)}


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({258: (16,), 262: 1, 339: (2,)}, f"has signed 16-bit grey samples {UNKNOWN}"),
        ({258: (32,), 262: 1}, f"has 32-bit grey samples {UNKNOWN}"),
        ({258: (16,), 262: 1, 339: (3,)}, f"has floating-point 16-bit grey samples {UNKNOWN}"),
        ({258: (8,), 262: 9}, f"has 8-bit photometric-9 samples, {LACKING}"),
        ({**RGB, 258: (4, 4, 4)}, f"has 4-bit RGB samples, {LACKING}"),
        ({**GREY_ALPHA, 258: (4, 4)}, f"has 4-bit grey samples with alpha, {LACKING}"),
        (
            {**GREY_ALPHA, 284: 2},
            f"has 8-bit grey samples with alpha in separate planes, {LACKING}",
        ),
        ({**RGB, 258: (16,) * 3, 284: 2}, f"has 16-bit RGB samples in separate planes, {LACKING}"),
        (
            {**RGB, 284: 2, 266: 2},
            f"has 8-bit RGB samples in separate planes in reversed bit order, {LACKING}",
        ),
        ({**RGB, 266: 2}, None),
        ({**RGB, 284: 2}, None),
        ({**RGB, 258: (16,) * 3, 284: 2, 259: 5}, None),
        ({**RGB, 284: 2, 266: 2, 259: 5}, None),
        (GREY_ALPHA, None),
        ({**GREY_ALPHA, 284: 2, 338: (0,)}, None),
        ({258: (16,), 262: 1, 284: 2}, None),
        ({258: (8,) * 4, 262: 2, 277: 4, 284: 2, 338: (2,)}, None),
        ({258: (12,), 262: 1}, None),
        ({}, None),
    ],
)
def test_samples_that_pillow_lacks_are_told_apart(tags, told):
    """Tags by their numbers, as in a directory without the others."""
    assert tiff_gap(tags) == told


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        (None, "is truncated or damaged"),
        ({**RGB, 259: 5}, "is truncated or damaged"),
        ({**RGB, 259: 5, 284: 2}, "is damaged, or its 8-bit RGB samples in separate planes are"),
        ({**RGB, 259: 5, 266: 2}, "is damaged, or its 8-bit RGB samples in reversed bit order are"),
        ({258: "rubbish"}, "is truncated or damaged"),
    ],
    ids=["no-tiff", "plain", "planes", "reversed", "rubbish"],
)
def test_an_undecodable_tiff_may_be_a_rare_one(tags, told):
    class Undecodable(Image.Image):
        def load(self):
            raise OSError("decoder error")

    image = Undecodable()
    if tags is not None:
        image.tag_v2 = tags
    with pytest.raises(PixelError, match=f"^{told}"):
        eight_bit(image)
