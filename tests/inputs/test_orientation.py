"""The EXIF orientation turns an image whatever else its EXIF block holds."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from entries import seen
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin
from tries import tries

from align_client.pixels import eight_bit as clients_eight_bit
from align_zoo.inputs.pixels import eight_bit

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of odd EXIF blocks

ORIENTATION = 0x0112
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def entry(order: str, tag: int, kind: int, count: int, value: bytes) -> bytes:
    return struct.pack(order + "HHI", tag, kind, count) + value[:4].ljust(4, b"\0")


def exif_block(order: str, entries: list[bytes], behind: bytes = b"") -> bytes:
    head = b"II*\0" if order == "<" else b"MM\0*"
    head += struct.pack(order + "IH", 8, len(entries))
    return b"Exif\0\0" + head + b"".join(entries) + bytes(4) + behind


def turned(order: str, orientation: int = 6) -> bytes:
    return entry(order, ORIENTATION, 3, 1, struct.pack(order + "H", orientation))


def written(kind: str, exif: bytes) -> bytes:
    file = io.BytesIO()
    lossless = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    Image.fromarray(PIXELS).save(file, kind, exif=exif, **lossless)
    return file.getvalue()


ODD = {
    "x resolution as text": (0x011A, 2, 3, b"72\0"),
    "width as a byte": (0x0100, 1, 1, b"\5"),
    "maker as a fraction outside": (0x010F, 5, 1, b"\0\0\xff\0"),
    "description as a float": (0x010E, 11, 1, b"\0\0\x80\x3f"),
    "description as a fraction inside": (0x010E, 10, 1, b"\x08\0\0\0"),
    "an unknown type": (0x010E, 99, 1, b"\1\2\3\4"),
    "more values than the file": (0x010E, 2, 2**31, b"\x08\0\0\0"),
    "no values": (0x010E, 2, 0, b""),
    "EXIF's directory at a negative place": (0x8769, 9, 1, b"\xff\xff\xff\xff"),
    "EXIF's directory as text": (0x8769, 2, 3, b"ab\0"),
    "GPS outside": (0x8825, 4, 1, b"\xff\xff\xff\x7f"),
    "software as a double outside": (0x0131, 12, 1, b"\xff\xff\0\0"),
}
"""Tag, type, count and value of what stands beside the orientation."""


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_an_odd_tag_does_not_undo_the_turn(odd, kind, tmp_path):
    for order in "<>":
        block = exif_block(order, sorted([turned(order), entry(order, *odd)]))
        answers = seen(written(kind, block), tmp_path / "image")
        upright = answers["library, bytes"]
        assert upright.shape == (9, 6, 3)
        for way, pixels in answers.items():
            assert np.array_equal(pixels, upright), way


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_odd_tag_in_png_text_keeps_the_turn(odd, tmp_path):
    block = exif_block("<", sorted([turned("<"), entry("<", *odd)]))
    info, file = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_text("Raw profile type exif", f"\nexif\n  {len(block)}\n{block.hex()}\n")
    Image.fromarray(PIXELS).save(file, "PNG", pnginfo=info)
    for way, pixels in seen(file.getvalue(), tmp_path / "image").items():
        assert pixels.shape == (9, 6, 3), way


def test_an_orientation_behind_a_pngs_pixels_counts(tmp_path):
    file, block = io.BytesIO(), b"eXIf" + exif_block("<", [turned("<")]).removeprefix(b"Exif\0\0")
    Image.fromarray(PIXELS).save(file, "PNG")
    chunk = struct.pack(">I", len(block) - 4) + block + struct.pack(">I", zlib.crc32(block))
    content = file.getvalue()
    content = content[:-12] + chunk + content[-12:]  # before the chunk IEND
    for way, pixels in seen(content, tmp_path / "image").items():
        assert pixels.shape == (9, 6, 3), way


@settings(max_examples=tries(300), deadline=None)
@given(
    order=st.sampled_from("<>"),
    orientation=st.integers(1, 8),
    odd=st.lists(
        st.tuples(
            st.integers(0, 65535).filter(lambda tag: tag != ORIENTATION),
            st.integers(0, 20),
            st.one_of(st.integers(0, 9), st.integers(0, 2**32 - 1)),
            st.binary(min_size=4, max_size=4),
        ),
        max_size=3,
    ),
    place=st.integers(0, 3),
    behind=st.binary(max_size=40),
)
def test_a_sound_orientation_counts_in_any_exif_block(order, orientation, odd, place, behind):
    entries = [entry(order, *each) for each in odd]
    entries.insert(place, turned(order, orientation))
    image = Image.fromarray(PIXELS)
    image.info["exif"] = exif_block(order, entries, behind)
    plain = Image.fromarray(PIXELS)
    plain.getexif()[ORIENTATION] = orientation
    expected = np.asarray(ImageOps.exif_transpose(plain))
    for decoded in (eight_bit(image), clients_eight_bit(image)):
        assert np.array_equal(decoded, expected)
        assert np.array_equal(eight_bit(decoded), expected)  # and is not turned again


@settings(max_examples=tries(200), deadline=None)
@given(
    info=st.dictionaries(
        st.sampled_from(["exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"]),
        st.one_of(st.binary(max_size=60), st.text(max_size=60), st.none(), st.integers()),
    )
)
def test_rubbish_metadata_never_hides_the_pixels(info):
    image = Image.fromarray(PIXELS)
    image.info.update(info)
    assert sorted(eight_bit(image).size) == [6, 9]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("key", ["XML:com.adobe.xmp", "Raw profile type exif"])
def test_orientations_in_png_texts_count_everywhere(key, orientation, tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    texts = {
        "XML:com.adobe.xmp": f'<x tiff:Orientation="{orientation}"/>',
        "Raw profile type exif": f"\nexif\n      99\n{exif.tobytes().hex()}\n",
    }
    info, file = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_itxt(key, texts[key])
    Image.fromarray(PIXELS).save(file, "PNG", pnginfo=info)
    expected = ImageOps.exif_transpose(Image.open(file))
    assert expected.size == ((6, 9) if orientation > 4 else (9, 6))
    for way, pixels in seen(file.getvalue(), tmp_path / "image").items():
        assert np.array_equal(pixels, expected), way


def test_an_orientation_that_the_caller_deleted_stays_deleted():
    image = Image.open(io.BytesIO(written("PNG", exif_block("<", [turned("<")]))))
    image.load()
    del image.getexif()[ORIENTATION]
    assert eight_bit(image).size == (9, 6)


def test_an_orientation_that_the_caller_set_counts():
    image = Image.fromarray(PIXELS)
    image.getexif()[ORIENTATION] = 6
    assert eight_bit(image).size == (6, 9)
