"""What becomes of each accepted format: upright, RGB, the first frame, 8 bits, or a refusal."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from fuzz.files import png_chunk, tiff
from fuzz.images import try_images
from fuzz.mutations import mutated
from fuzz.samples import samples
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin
from tries import tries

from align_zoo import InvalidImage
from align_zoo.inputs.cost import FORMATS
from align_zoo.inputs.decode import decode_image
from align_zoo.serving.model.image import ImageService

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged files

SOUND = {name: data for name, data in samples().items() if not name.startswith("TIFF F ")}


def written(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(mode: str = "RGB", width: int = 20, height: int = 12) -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def test_every_format_is_among_the_samples():
    assert {name.split()[0] for name in SOUND} == set(FORMATS)


@pytest.mark.parametrize("name", [name for name in SOUND if "16" not in name and "12" not in name])
def test_pixels_equal_pillows_exif_transpose_and_convert(name):
    opened = Image.open(io.BytesIO(SOUND[name]))
    expected = ImageOps.exif_transpose(opened).convert("RGB")
    assert np.array_equal(decode_image(SOUND[name]), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_turned_image_is_upright_in_every_format(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = written(noise(), kind, exif=exif)
    plain = Image.open(io.BytesIO(written(noise(), kind)))
    plain.info["exif"] = exif.tobytes()
    expected = ImageOps.exif_transpose(plain).convert("RGB")
    got = decode_image(data)
    assert got.size == ((12, 20) if orientation > 4 else (20, 12))
    assert np.array_equal(got, expected)


def test_xmp_orientation_turns_the_image():
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    assert decode_image(written(noise(), "PNG", pnginfo=info)).size == (12, 20)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_of_several_frames_counts(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    lossless = {"lossless": True} if kind == "WEBP" else {}
    data = written(frames[0], kind, save_all=True, append_images=frames[1:], **lossless)
    assert decode_image(data).getpixel((3, 3)) == (255, 0, 0)


RAMP = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)


def grey_tiff(order: str, values: bytes, bits: int) -> bytes:
    entries = [(256, 16), (257, 16), (258, bits), (259, 1), (262, 1), (273, 98), (277, 1)]
    head = b"II*\0" if order == "<" else b"MM\0*"
    body = b"".join(struct.pack(order + "HHIHH", tag, 3, 1, value, 0) for tag, value in entries)
    return head + struct.pack(order + "IH", 8, 7) + body + struct.pack(order + "I", 0) + values


@pytest.mark.parametrize(
    "data",
    [
        written(Image.fromarray(RAMP), "PNG"),
        written(Image.fromarray(RAMP), "TIFF", compression="tiff_lzw"),
        grey_tiff("<", RAMP.astype("<u2").tobytes(), 16),
        grey_tiff(">", RAMP.astype(">u2").tobytes(), 16),
    ],
    ids=["PNG", "TIFF packed", "TIFF little-endian", "TIFF big-endian"],
)
def test_16_bit_grey_is_scaled_in_every_format(data):
    got = np.asarray(decode_image(data))
    assert np.array_equal(got[..., 1], np.arange(256).reshape(16, 16))


def test_12_bit_grey_is_scaled_too():
    levels = (RAMP >> 4).ravel().tolist()
    packed = b"".join((a << 12 | b).to_bytes(3, "big") for a, b in zip(*[iter(levels)] * 2))
    got = np.asarray(decode_image(grey_tiff("<", packed, 12)))[..., 0]
    assert np.array_equal(got.ravel(), np.round(np.array(levels) * 255 / 4095))


def test_16_bit_colour_keeps_its_range():
    rows = b"".join(b"\0" + struct.pack(">3H", value, 65535 - value, 0) for value in (0, 65535))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 2, 16, 2, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(rows))
    data = b"\x89PNG\r\n\x1a\n" + header + pixels + png_chunk(b"IEND", b"")
    got = decode_image(data)
    assert [got.getpixel((0, y)) for y in (0, 1)] == [(0, 255, 0), (255, 0, 0)]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_equals_pillows_convert(kind):
    data = written(noise("CMYK"), kind)
    expected = Image.open(io.BytesIO(data)).convert("RGB")
    assert np.array_equal(decode_image(data), expected)


@pytest.mark.parametrize("alpha", [3, bytes(range(0, 255, 16))], ids=["one", "each"])
@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palette_transparency_is_dropped_and_colours_kept(kind, alpha):
    image = noise().quantize(16)
    data = written(image, kind, **({} if kind == "GIF" and alpha != 3 else {"transparency": alpha}))
    assert np.array_equal(decode_image(data), image.convert("RGB"))


@pytest.mark.parametrize("name", ["TIFF F 0", "TIFF F 1"])
def test_samples_without_a_range_are_refused(name):
    with pytest.raises(InvalidImage, match="no defined range") as refused:
        decode_image(samples()[name])
    assert refused.value.reason == "format"


REFUSED = {
    "empty": (b"", "empty"),
    "text": (b"hello, this is no image", "format"),
    "HTML": (b"<!DOCTYPE html><html>", "format"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "format"),
    "SVG behind a heading": (b'<?xml version="1.0"?><svg/>', "format"),
    "PDF": (b"%PDF-1.7 ...", "format"),
    "ZIP": (b"PK\3\4" + bytes(40), "format"),
    "sound in RIFF": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(40), "format"),
    "AVIF": (b"\0\0\0\x20ftypavif" + bytes(40), "format"),
    "JPEG XL": (b"\xff\x0a" + bytes(40), "format"),
    "JPEG XL in boxes": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "format"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "format"),
    "PPM": (written(noise(), "PPM"), "format"),
    "ICO": (written(noise(), "ICO"), "format"),
    "TGA": (written(noise(), "TGA"), "format"),
    "EPS": (written(noise(), "EPS"), "format"),
    "half a JPEG": (written(noise(), "JPEG")[:300], "damaged"),
    "half a PNG": (written(noise(), "PNG")[:300], "damaged"),
    "half a WEBP": (written(noise(), "WEBP")[:80], "damaged"),
    "half a GIF": (written(noise("P"), "GIF")[:-90], "damaged"),
    "half a BMP": (written(noise(), "BMP")[:-90], "damaged"),
    "half a TIFF": (written(noise(), "TIFF", compression="tiff_lzw")[:120], "damaged"),
    "a word that begins as a BMP does": (b"BMW", "damaged"),
    "TIFF without pixels": (tiff([(256, 3, 1, 8), (257, 3, 1, 8)]), "damaged"),
}


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED)
def test_unsound_image_has_a_counted_reason(data, reason):
    with pytest.raises(InvalidImage) as refused:
        decode_image(data)
    assert refused.value.reason == reason
    assert reason in ImageService.reasons


def test_the_bytes_are_counted_first():
    with pytest.raises(InvalidImage, match="at most 20,000,000") as refused:
        decode_image(bytes(20_000_001))
    assert refused.value.reason == "too_many_bytes"


@pytest.mark.parametrize("kind", FORMATS)
def test_the_pixels_allowed_are_the_callers(kind):
    data = written(noise(), kind)
    assert decode_image(data, max_pixels=240).size == (20, 12)
    with pytest.raises(InvalidImage, match="20 x 12 = 240 pixels; at most 239") as refused:
        decode_image(data, max_pixels=239)
    assert refused.value.reason == "too_many_pixels"


def test_mutated_images_become_pixels_or_a_sound_refusal():
    outcomes = try_images(range(tries(2_000)))
    assert outcomes.faults == []
    assert outcomes.answered > tries(200)  # the mutations leave something to decode ...
    assert len(outcomes.refused) >= 4  # ... and are refused in many ways
    assert outcomes.slowest_ms < 5_000


@settings(max_examples=tries(150), deadline=None)
@given(name=st.sampled_from(sorted(SOUND)), seed=st.integers(0, 2**32 - 1))
def test_mutation_is_determined_by_its_seed(name, seed):
    assert mutated(seed, {name: SOUND[name]}) == mutated(seed, {name: SOUND[name]})


@settings(max_examples=tries(100), deadline=None)
@given(data=st.binary(max_size=300), name=st.sampled_from(sorted(SOUND)))
def test_any_bytes_are_pixels_or_refused(data, name):
    try:
        assert decode_image(SOUND[name][:40] + data).mode == "RGB"
    except InvalidImage as error:
        assert error.reason in ImageService.reasons
