"""How the client encodes each kind of image before anything is sent."""

import io
import os
import warnings
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from tries import tries

from align_client import InvalidInput, images
from align_client.images import MAX_BYTES, as_list, may_shrink


def encoded(image, **options):
    """Return the bytes that are sent."""
    return images.encoded(image, **options).data


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def as_rgb(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@settings(max_examples=tries(50), deadline=None)
@given(
    hnp.arrays(
        np.uint8,
        st.one_of(
            hnp.array_shapes(min_dims=2, max_dims=2, max_side=20),
            st.tuples(st.integers(1, 20), st.integers(1, 20), st.sampled_from([3, 4])),
        ),
    )
)
def test_array_keeps_its_pixels(array):
    sent = opened(encoded(array))
    expected = array if array.ndim == 2 else array[..., :3]
    assert sent.format == "PNG"
    assert np.array_equal(np.asarray(sent), expected)


def test_noncontiguous_array_is_accepted():
    array = noise(8, 9, 3)[::2, ::-1]
    assert np.array_equal(np.asarray(opened(encoded(array))), array)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV", "LAB"]
)
def test_8_bit_pil_image_arrives_as_rgb(mode):
    bands = max(1, len(Image.new(mode, (1, 1)).getbands()))
    if mode in ("1", "P"):
        image = Image.fromarray(noise(12, 10, 3)).convert(mode)
    else:
        image = Image.frombytes(mode, (10, 12), noise(12, 10, bands).tobytes())
    assert np.array_equal(as_rgb(opened(encoded(image))), as_rgb(image))


@pytest.mark.parametrize("transparency", [3, bytes(range(16))])
def test_transparent_palette_is_converted_without_warning(transparency):
    image = Image.fromarray(noise(12, 10, 3)).quantize(16)
    colours = as_rgb(image)
    image.info["transparency"] = transparency
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sent = opened(encoded(image))
    assert np.array_equal(as_rgb(sent), colours)
    assert image.info["transparency"] == transparency


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_16_bit_grey_is_scaled_as_by_server(mode):
    values = np.array([[0, 1, 256], [40_000, 65_534, 65_535]], dtype=np.uint16)
    raw = values.astype(">u2" if mode == "I;16B" else "<u2").tobytes()
    sent = opened(encoded(Image.frombytes(mode, (3, 2), raw)))
    assert sent.mode == "L"
    assert np.array_equal(np.asarray(sent), np.round(values / 257))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bit_grey_is_refused(mode):
    with pytest.raises(InvalidInput, match=f"mode {mode}.*8 or 16 bits"):
        encoded(Image.new(mode, (3, 3)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(noise(6, 9, 3)).save(file, "PNG", exif=exif)
    image = opened(file.getvalue())

    sent = opened(encoded(image))

    assert sent.getexif().get(0x0112, 1) == 1
    assert sent.size == ((9, 6) if orientation <= 4 else (6, 9))
    upright = {
        1: noise(6, 9, 3),
        3: np.rot90(noise(6, 9, 3), 2),
        6: np.rot90(noise(6, 9, 3), -1),
        8: np.rot90(noise(6, 9, 3), 1),
    }
    if orientation in upright:
        assert np.array_equal(np.asarray(sent), upright[orientation])


def test_broken_exif_block_is_ignored():
    image = Image.fromarray(noise(6, 9, 3))
    image.info["exif"] = b"Exif\x00\x00rubbish"
    assert np.array_equal(np.asarray(opened(encoded(image))), noise(6, 9, 3))


def test_metadata_is_dropped_only_from_the_copy():
    image = Image.new("RGB", (4, 4))
    image.info.update(icc_profile=b"profile" * 100, dpi=(72, 72))
    assert opened(encoded(image)).info == {}
    assert set(image.info) == {"icc_profile", "dpi"}


def test_current_frame_of_animation_is_sent():
    file = io.BytesIO()
    frames = [Image.new("RGB", (5, 5), colour) for colour in ("red", "blue")]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    image = opened(file.getvalue())
    assert opened(encoded(image)).convert("RGB").getpixel((0, 0)) == (255, 0, 0)
    image.seek(1)
    assert opened(encoded(image)).convert("RGB").getpixel((0, 0)) == (0, 0, 255)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_are_sent_unchanged(kind):
    assert encoded(kind(b"any bytes: the server judges")) == b"any bytes: the server judges"


@pytest.mark.parametrize("kind", [str, Path])
def test_file_is_sent_unchanged(tmp_path, kind):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"any bytes: the server judges")
    assert encoded(kind(path)) == b"any bytes: the server judges"


def test_directory_entry_with_bytes_path_is_accepted(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"any bytes")
    (entry,) = os.scandir(os.fsencode(tmp_path))
    assert encoded(entry, files=True) == b"any bytes"
    assert may_shrink(entry, files=True) is False
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(InvalidInput, match=r"a\.jpg' does not exist"):
        encoded(entry)


def test_released_memoryview_is_invalid():
    view = memoryview(b"any bytes")
    view.release()
    assert may_shrink(view, files=True) is False
    with pytest.raises(InvalidInput, match="released"):
        encoded(view)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a.jpg",
        "https://example.org/a.jpg",
        "s3://bucket/a.jpg",
        "file:///etc/hosts",
        "data:image/png;base64," + "A" * 10_000,
        Path("https://example.org/a.jpg"),
    ],
)
def test_urls_are_not_fetched(url):
    with pytest.raises(InvalidInput, match="does not fetch URLs"):
        encoded(url)


def test_empty_path_is_invalid():
    with pytest.raises(InvalidInput, match=r"^'' does not exist"):
        encoded("")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"nowhere\.jpg' does not exist") as caught:
        encoded(tmp_path / "nowhere.jpg")
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_directory_is_not_an_image(tmp_path):
    with pytest.raises(InvalidInput, match="is a directory"):
        encoded(tmp_path)


def test_an_empty_file_is_not_an_image(tmp_path):
    (tmp_path / "empty.png").touch()
    with pytest.raises(InvalidInput, match=r"empty\.png' is empty \(0 bytes\)"):
        encoded(tmp_path / "empty.png")


def test_pipe_is_invalid(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInput, match="not a regular file"):
        encoded(tmp_path / "pipe")


@pytest.mark.parametrize("path", ["", "a\0b", "a" * 5000])
def test_impossible_path_is_invalid(path):
    with pytest.raises(InvalidInput):
        encoded(path)


def test_too_large_file_is_not_read(tmp_path):
    with (tmp_path / "huge.tiff").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(InvalidInput, match="at most 64,000,000 can be sent"):
        encoded(tmp_path / "huge.tiff")


def test_damaged_pil_image_is_invalid():
    file = io.BytesIO()
    Image.fromarray(noise(50, 50, 3)).save(file, "JPEG")
    with pytest.raises(InvalidInput, match="cannot be decoded"):
        encoded(opened(file.getvalue()[:-500]))


@pytest.mark.parametrize(
    "image, words",
    [
        (b"", "empty"),
        (Image.new("RGB", (0, 0)), "0 x 0, has no pixels"),
        (np.zeros((0, 0, 3), np.uint8), r"uint8 array \[0, 0, 3\] has no pixels"),
        (np.zeros((4, 0), np.uint8), "no pixels"),
        (np.zeros((4, 4, 3), np.float32), r"float32 array \[4, 4, 3\].*give uint8"),
        (np.zeros((4, 4), bool), "give uint8"),
        (np.zeros((3, 9, 9), np.uint8), r"\[3, 9, 9\].*\[height, width, 3\]"),
        (np.zeros((2, 4, 4, 3), np.uint8), "several images as a list"),
        (np.zeros(9, np.uint8), r"\[9\]"),
        (None, "None is not an image: give a path"),
        (7, "type int is not an image"),
        (object(), "type object is not an image"),
    ],
)
def test_invalid_type_is_named_with_accepted_types(image, words):
    with pytest.raises(InvalidInput, match=words):
        encoded(image)


@pytest.mark.parametrize("opened", [io.BytesIO, NamedTemporaryFile])
def test_open_file_is_invalid(opened):
    for use in (as_list, encoded):
        with opened() as file, pytest.raises(InvalidInput, match=r"its bytes, \.read\(\)"):
            use(file)


@pytest.mark.parametrize(
    "image",
    ["a.jpg", Path("a.jpg"), b"bytes", bytearray(b"b"), Image.new("L", (1, 1)), noise(2, 2)],
)
def test_as_list_distinguishes_one_from_several(image):
    assert as_list(image) == ([image], False)
    assert as_list([image]) == ([image], True)
    assert as_list(iter((image, image))) == ([image, image], True)


@pytest.mark.parametrize("images", [[], (), 3, None, {"a.jpg": 1}])
def test_no_images_are_invalid(images):
    with pytest.raises(InvalidInput):
        as_list(images)
