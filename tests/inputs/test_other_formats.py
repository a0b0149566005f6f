"""JPEG, PNG, WebP, GIF and BMP of every kind have a second decoder's pixels, or are refused."""

from __future__ import annotations

import base64
import io
import itertools

import imagecodecs
import numpy as np
import pytest
import tifffile
from entries import seen
from fuzz.files import png_chunk
from other_files import PNG_CHANNELS, Bmp, Frame, bmp_file, bmp_runs, gif_file, png_file
from PIL import Image

from align_zoo import InvalidImage
from align_zoo.inputs.decode import decode_image

RNG = np.random.default_rng(0)
WAVES = np.stack([np.add.outer(np.arange(40) * down, np.arange(56) * 4) for down in (2, 5, 7)], -1)
PHOTO = np.clip(WAVES % 256 + RNG.integers(-20, 20, WAVES.shape), 0, 255).astype(np.uint8)


def written(kind: str, image: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def as_rgb(read: np.ndarray) -> np.ndarray:
    """Another decoder's pixels as 8-bit RGB without alpha, in floats."""
    pixels = read / 257 if read.dtype == np.uint16 else read.astype(float)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    pixels = pixels[..., :-1] if pixels.shape[-1] in (2, 4) else pixels
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def off_by(data: bytes, expected: np.ndarray) -> float:
    return float(np.abs(np.asarray(decode_image(data)) - expected).max())


JPEG_WAYS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:1:1": {"subsampling": "4:1:1"},
    "restarts": {"restart_marker_rows": 1},
    "RGB kept": {"keep_rgb": True},
    "quality 30": {"quality": 30},
}


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("way", JPEG_WAYS.values(), ids=JPEG_WAYS)
def test_jpeg_is_the_second_decoders(way, mode):
    data = written("JPEG", Image.fromarray(PHOTO).convert(mode), **way)
    assert off_by(data, as_rgb(imagecodecs.jpeg8_decode(data))) == 0


ENCODED = {"lossless": {"lossless": True}, "4:4:0": {"subsampling": "440"}}


@pytest.mark.parametrize("way", ENCODED.values(), ids=ENCODED)
def test_unusual_jpeg_decodes_as_by_a_second_decoder(way):
    data = imagecodecs.jpeg8_encode(PHOTO, 95, **way)
    assert off_by(data, imagecodecs.jpeg8_decode(data)) == 0


ARITHMETIC = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZG"
    "NywtQFdBRkxOUlNSMj5aYVpQYEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09P"
    "T09PT09PT09PT09PT09PT09PT09PT09PT0//yQARCAAMABADASIAAhEBAxEB/8wACgAQEAUBEBEF/9oADAMBAAIR"
    "AxEAPwD/AGiqQcvXSfP92whyRTGCCUI8lXiPxoI1f63KRrl4/9k="
)


def test_arithmetic_jpeg_is_the_second_decoders():
    assert off_by(ARITHMETIC, imagecodecs.jpeg8_decode(ARITHMETIC)) == 0


def as_ink(read: np.ndarray) -> np.ndarray:
    """RGB of Adobe's inverted CMYK, by the plain formula."""
    return np.round(read[..., :3] * (read[..., 3:] / 255))


@pytest.mark.parametrize("transform", [0, 2], ids=["CMYK", "YCCK"])
def test_adobes_inverted_inks_are_turned_over(transform):
    data = bytearray(written("JPEG", Image.fromarray(PHOTO).convert("CMYK")))
    marker = data.index(b"\xff\xee")
    data[marker + 15] = transform
    read = imagecodecs.jpeg8_decode(bytes(data), outcolorspace="cmyk").astype(float)
    assert off_by(bytes(data), as_ink(read)) <= 1


def test_12_bit_jpeg_is_refused_by_name():
    data = imagecodecs.jpeg8_encode(PHOTO.astype(np.uint16) << 4, 95, bitspersample=12)
    with pytest.raises(InvalidImage, match=r"12-bit samples.*convert it to 8-bit RGB"):
        decode_image(data)


@pytest.mark.parametrize("photometric", ["rgb", "ycbcr", "minisblack"])
@pytest.mark.parametrize("tile", [None, (16, 16)], ids=["strips", "tiles"])
def test_jpeg_in_tiff_is_the_second_decoders(photometric, tile):
    file = io.BytesIO()
    pixels = PHOTO[..., 0] if photometric == "minisblack" else PHOTO
    tifffile.imwrite(file, pixels, compression="jpeg", photometric=photometric, tile=tile)
    assert off_by(file.getvalue(), as_rgb(tifffile.imread(io.BytesIO(file.getvalue())))) <= 1


PNG_KINDS = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4)]
PNG_KINDS += [(3, 8), (4, 8), (4, 16), (6, 8), (6, 16)]


@pytest.mark.parametrize(("colour", "bits"), PNG_KINDS)
@pytest.mark.parametrize("interlaced", [False, True], ids=["rows", "interlaced"])
@pytest.mark.parametrize("ancillary", ["none", "tRNS", "gAMA"])
def test_png_is_the_second_decoders(colour, bits, interlaced, ancillary, capfd):
    pixels = RNG.integers(0, 2**bits, (19, 26, PNG_CHANNELS[colour]))
    extra = png_chunk(b"gAMA", (10**5).to_bytes(4, "big")) if ancillary == "gAMA" else b""
    if colour == 3:
        extra += png_chunk(b"PLTE", RNG.bytes(3 * 2**bits))
    if ancillary == "tRNS" and colour < 4:
        one = pixels[0, 0].astype(">u2").tobytes()
        extra += png_chunk(b"tRNS", bytes(range(2**bits)) if colour == 3 else one)
    data = png_file(pixels, bits, colour, interlaced=interlaced, extra=extra)
    expected = as_rgb(imagecodecs.png_decode(data))
    # Grey is rounded; of 16 bits of colour Pillow takes the high byte.
    most = 0 if bits < 16 else 0.5 if colour == 0 else 1
    assert off_by(data, expected) <= most


WEBP_WAYS = [{}, {"lossless": True}, {"quality": 5}, {"lossless": True, "exact": True}]


@pytest.mark.parametrize("way", WEBP_WAYS, ids=str)
@pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "alpha"])
def test_webp_is_the_second_decoders(way, alpha):
    image = Image.fromarray(PHOTO)
    if alpha:
        image.putalpha(Image.fromarray(RNG.integers(0, 256, (40, 56), dtype=np.uint8)))
    data = written("WEBP", image, **way)
    assert off_by(data, as_rgb(imagecodecs.webp_decode(data))) == 0


def test_animated_webp_decodes_to_its_first_frame():
    frames = [Image.fromarray(PHOTO), Image.fromarray(PHOTO[::-1])]
    data = written("WEBP", frames[0], save_all=True, append_images=frames[1:], lossless=True)
    assert off_by(data, PHOTO) == 0


PALETTES = RNG.integers(0, 256, (2, 256, 3), dtype=np.uint8)


@pytest.mark.parametrize("local", [False, True], ids=["global palette", "local palette"])
@pytest.mark.parametrize("transparent", [None, 7], ids=["opaque", "transparent"])
@pytest.mark.parametrize("disposal", range(4))
@pytest.mark.parametrize("place", [(0, 0), (3, 2)], ids=["whole", "offset"])
def test_first_gif_frame_has_its_palettes_colours(local, transparent, disposal, place):
    left, top = place
    indices = RNG.integers(0, 256, (10 - 2 * top, 12 - 2 * left), dtype=np.uint8)
    palette = PALETTES[int(local)]
    frame = Frame(indices, left, top, palette if local else None, transparent, disposal)
    second = Frame(RNG.integers(0, 256, (10, 12), dtype=np.uint8))
    one = gif_file(12, 10, PALETTES[0], [frame])
    for data in (one, gif_file(12, 10, PALETTES[0], [frame, second])):
        got = np.asarray(decode_image(data))
        inside = got[top : top + len(indices), left : left + indices.shape[1]]
        assert got.shape == (10, 12, 3)
        assert np.array_equal(inside, palette[indices])
    if place == (0, 0) and transparent is None:
        assert np.array_equal(as_rgb(imagecodecs.gif_decode(one, index=0)), palette[indices])


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("mode", ["P", "L", "1"])
def test_gif_is_the_second_decoders(mode, interlace):
    data = written("GIF", Image.fromarray(PHOTO).convert(mode), interlace=interlace)
    assert off_by(data, as_rgb(imagecodecs.gif_decode(data, index=0))) == 0


HEADERS = [12, 40, 52, 56, 64, 108, 124]
PALETTED = [
    Bmp(header, bits, (), top_down)
    for header, bits, top_down in itertools.product(HEADERS, [1, 4, 8], [False, True])
    if header > 12 or not top_down
]
TRUE = [Bmp(header, bits) for header in HEADERS for bits in (16, 24, 32)]
MASKS = {
    16: [(0xF800, 0x7E0, 0x1F, 0), (0x7C00, 0x3E0, 0x1F, 0), (0xF00, 0xF0, 0xF, 0xF000)],
    32: [
        (0xFF0000, 0xFF00, 0xFF, 0),
        (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
        (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
        (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
        (0x3FF00000, 0xFFC00, 0x3FF, 0),
    ],
}
MASKED = [
    Bmp(header, bits, masks if header > 52 else masks[:3])
    for header in HEADERS[1:]
    for bits in MASKS
    for masks in MASKS[bits]
]
_USUAL = {16: (0x7C00, 0x3E0, 0x1F), 24: (0xFF0000, 0xFF00, 0xFF), 32: (0xFF0000, 0xFF00, 0xFF)}


def masked(values: np.ndarray, masks: tuple[int, ...]) -> np.ndarray:
    shifts = [(mask & -mask).bit_length() - 1 for mask in masks]
    parts = [((values & m) >> s) * 255 / (m >> s) for m, s in zip(masks, shifts)]
    return np.stack(parts, -1)


@pytest.mark.parametrize("kind", PALETTED, ids=str)
def test_a_bmp_with_a_palette_has_its_colours(kind):
    palette = RNG.integers(0, 256, (2**kind.bits, 3))
    indices = RNG.integers(0, 2**kind.bits, (11, 13))
    data = bmp_file(kind, indices, palette)
    assert off_by(data, palette[indices]) == 0
    if kind.bits == 8 and kind.header > 12:
        assert np.array_equal(imagecodecs.bmp_decode(data, asrgb=True), palette[indices])


@pytest.mark.parametrize("kind", [*TRUE, *MASKED], ids=str)
def test_bmp_has_its_masks_colours_or_is_refused(kind):
    values = RNG.integers(0, 2**kind.bits, (11, 13))
    data = bmp_file(kind, values)
    masks = kind.masks[:3] or _USUAL[kind.bits]
    try:
        assert off_by(data, masked(values, masks)) < 1
    except InvalidImage as error:
        assert "with the masks" in str(error)
        assert masks not in (_USUAL[kind.bits], (0xF800, 0x7E0, 0x1F))


@pytest.mark.parametrize("bits", [4, 8])
def test_a_run_length_bmp_has_its_palettes_colours(bits):
    palette = RNG.integers(0, 256, (2**bits, 3))
    indices = RNG.integers(0, 2**bits, (11, 14))
    assert off_by(bmp_runs(indices, palette, bits), palette[indices]) == 0


def test_bmp_of_2_bits_is_refused():
    data = bmp_file(Bmp(40, 2), RNG.integers(0, 4, (5, 5)), RNG.integers(0, 256, (4, 3)))
    with pytest.raises(InvalidImage, match="has 2 bits a pixel, which are not supported"):
        decode_image(data)


ONE_OF_EACH = {
    "JPEG arithmetic": ARITHMETIC,
    "JPEG CMYK": written("JPEG", Image.fromarray(PHOTO).convert("CMYK")),
    "PNG grey 16": png_file(RNG.integers(0, 2**16, (19, 26, 1)), 16, 0, interlaced=True, extra=b""),
    "PNG alpha 16": png_file(
        RNG.integers(0, 2**16, (19, 26, 4)), 16, 6, interlaced=True, extra=b""
    ),
    "PNG grey alpha 16": png_file(
        RNG.integers(0, 2**16, (9, 9, 2)), 16, 4, interlaced=True, extra=b""
    ),
    "GIF offset": gif_file(12, 10, PALETTES[0], [Frame(PALETTES[0][:5, :3], 3, 2, None, 7, 2)]),
    "BMP runs": bmp_runs(RNG.integers(0, 16, (11, 14)), RNG.integers(0, 256, (16, 3)), 4),
    "BMP masks": bmp_file(MASKED[1], RNG.integers(0, 2**16, (11, 13))),
    "BMP 12": bmp_file(Bmp(12, 24), RNG.integers(0, 2**24, (11, 13))),
}


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_each_has_one_answer_by_every_entry(name, tmp_path):
    answers = seen(ONE_OF_EACH[name], tmp_path / "image")
    for way, answer in answers.items():
        assert np.array_equal(answer, answers["library, bytes"]), way
