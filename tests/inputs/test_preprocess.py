"""Bytes to pixels: equal to transformers' PIL processor, and safe."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from checkpoints import PREPROCESSOR
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import SHAPES, photo, processor
from PIL import Image
from transformers import AutoImageProcessor
from transformers.image_utils import load_image
from tries import tries

from align_zoo import InvalidImage
from align_zoo.inputs.decode import decode_image, to_rgb
from align_zoo.inputs.preprocess import AlignTransform


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK", "LA", "1", "YCbCr"])
def test_the_transform_equals_transformers_pil_processor(shape, mode):
    image = photo(*shape, mode, seed=sum(shape))
    expected = processor()(load_image(image), return_tensors="pt")["pixel_values"][0]
    got = AlignTransform.from_dict(PREPROCESSOR)(image)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "values",
    [
        {"do_normalize": True},
        {"include_top": True},
        {"do_normalize": True, "include_top": True, "image_std": [0.2, 0.3, 0.4]},
        {"rescale_offset": False, "rescale_factor": 1 / 255},
        {"do_rescale": False},
        {"resample": 3},
        {"resample": 0},
        {"do_center_crop": False},
        {"do_resize": False},
        {"size": {"height": 101, "width": 87}, "crop_size": {"height": 64, "width": 65}},
        {"size": {"height": 100, "width": 88}, "crop_size": {"height": 65, "width": 65}},
    ],
    ids=str,
)
def test_every_option_of_the_processor_is_honoured(values):
    image = photo(400, 333, seed=5)
    expected = processor(**values)(image, return_tensors="pt")["pixel_values"][0]
    got = AlignTransform.from_dict({**PREPROCESSOR, **values})(image)
    torch.testing.assert_close(got, expected.float(), atol=1e-5, rtol=1e-6)


def test_an_empty_config_means_what_transformers_means(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(
        '{"image_processor_type": "EfficientNetImageProcessor"}'
    )
    theirs = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    image = photo(400, 333)
    expected = theirs(image, return_tensors="pt")["pixel_values"][0]
    got = AlignTransform.from_dict({})(image)
    torch.testing.assert_close(got, expected.float(), atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_bytes_decode_to_the_same_pixels(format):
    image = photo(61, 47)
    data = encoded(image, format, **({"lossless": True} if format == "WEBP" else {}))
    assert np.array_equal(decode_image(data), image)


def test_jpeg_decodes_as_pillow_does():
    data = encoded(photo(61, 47), "JPEG")
    assert np.array_equal(decode_image(data), Image.open(io.BytesIO(data)))


def test_a_turned_image_is_turned_upright_once():
    image = photo(64, 32)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored a quarter turn away
    data = encoded(image.transpose(Image.Transpose.ROTATE_90), exif=exif)
    assert np.array_equal(decode_image(data), image)


def test_rubbish_in_the_exif_block_is_ignored():
    image = photo(16, 16)
    data = encoded(image, "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xffrubbish")
    assert decode_image(data).size == (16, 16)


def test_16_bit_grey_is_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    got = np.asarray(decode_image(encoded(Image.fromarray(ramp))))[..., 0]
    assert np.array_equal(got, np.arange(256).reshape(16, 16))


def test_32_bit_grey_is_refused():
    wide = Image.fromarray(np.arange(256, dtype=np.int32).reshape(16, 16) * 70_000)
    with pytest.raises(InvalidImage, match="32-bit"):
        decode_image(encoded(wide, "TIFF"))


def test_first_frame_of_an_animation_counts():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode_image(data).getpixel((0, 0)) == (255, 0, 0)


def test_palette_with_transparency_decodes_as_by_convert():
    palette = photo(20, 20).quantize(16)
    palette.info["transparency"] = 3
    data = encoded(palette, transparency=3)
    assert np.array_equal(decode_image(data), Image.open(io.BytesIO(data)).convert("RGB"))


def bomb(width: int, height: int) -> bytes:
    """A valid PNG of a few KB that claims (and has) width x height one-bit pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    body = b"".join(rows.compress(row) for _ in range(height)) + rows.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [8_000, 12_000, 30_000])
def test_a_decompression_bomb_is_refused_by_its_header(side):
    with pytest.raises(InvalidImage, match="50,000,000"):
        decode_image(bomb(side, side))


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><circle r="9"/></svg>'


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello, this is no image", "format"),
        (SVG, "format"),
        (b"%PDF-1.7 ...", "format"),
        (b"\x00" * 20_000_001, "20,000,001 bytes"),
        (encoded(photo(64, 64), "JPEG")[:400], "truncated|damaged"),
        (encoded(photo(64, 64), "PNG")[:400], "truncated|damaged"),
        (encoded(photo(64, 64), "PNG")[:30], "truncated|damaged|format"),
        (encoded(photo(64, 64), "PPM"), "format"),
        (encoded(photo(64, 64), "ICO"), "format"),
    ],
    ids=["empty", "text", "svg", "pdf", "large", "jpeg", "png", "header", "ppm", "ico"],
)
def test_unsound_image_is_refused_with_the_reason(data, reason):
    with pytest.raises(InvalidImage, match=reason):
        decode_image(data)


@settings(max_examples=tries(300), deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    format=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]),
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=30),
    cut=st.integers(0, 10_000),
)
def test_mutated_images_give_pixels_or_invalid_image(seed, format, edits, cut):
    data = bytearray(encoded(photo(24, 18, seed=seed % 7), format))
    for position, value in edits:
        data[position % len(data)] = value
    try:
        assert decode_image(bytes(data[: max(1, cut)])).mode == "RGB"
    except InvalidImage as error:
        assert "/" not in str(error)
        assert "0x" not in str(error)


def test_an_rgb_image_passes_unchanged():
    image = photo(5, 7)
    assert np.array_equal(to_rgb(image), image)


@pytest.mark.parametrize(
    "image", ["a.jpg", b"GIF89a", None, np.zeros((9, 9, 3), np.uint8)], ids=type
)
def test_object_that_is_no_pil_image_is_named(image):
    transform = AlignTransform.from_dict({})
    told = f"takes a PIL image, not a {type(image).__name__}: open a file with PIL.Image.open"
    for call in (transform, transform.to_array):
        with pytest.raises(InvalidImage, match=told):
            call(image)
