"""Large images are shrunk to exactly the pixels that the server would make of them."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tries import tries

from align_client import AlignClient, InvalidInput, images
from align_client.shrink import NO_RESIZE, Resize, _decoding_slots, is_large, shrunk_file
from align_zoo.inputs.decode import decode_image
from align_zoo.serving.model.outputs import resize_fingerprint


def told(height, width, resample):
    """Return the resize as reported by a server with this Pillow."""
    return Resize(height, width, resample, resize_fingerprint(height, width, resample))


RESIZE = told(58, 61, Image.Resampling.BILINEAR)
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"]


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def drawn_image(mode="RGB", width=260, height=190):
    if mode == "I;16":
        grey = np.random.default_rng(0).integers(0, 65_536, (height, width), dtype=np.uint16)
        return Image.fromarray(grey)
    return Image.fromarray(noise(height, width, 3)).convert(mode)


def file(image, kind="PNG", **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def encoded(image, resize=NO_RESIZE, *, files=False):
    """Return the bytes that are sent, and check ``shrunk`` against their size."""
    data, shrunk = images.encoded(image, resize, files=files)
    assert not shrunk or size_of(data) == (resize.width, resize.height)
    return data


def resized(data, resize=RESIZE):
    """Decode and resize sent bytes as the server does."""
    size = (resize.width, resize.height)
    return np.asarray(decode_image(data).resize(size, Image.Resampling(resize.resample)))


def size_of(data):
    return Image.open(io.BytesIO(data)).size


@settings(max_examples=tries(60), deadline=None)
@given(
    mode=st.sampled_from(MODES),
    width=st.integers(148, 260),
    height=st.integers(148, 260),
    resize=st.builds(
        told, st.integers(1, 140), st.integers(1, 140), st.sampled_from(list(Image.Resampling))
    ),
)
def test_large_pil_image_has_server_s_pixels(mode, width, height, resize):
    image = drawn_image(mode, width, height)
    sent = encoded(image, resize)
    assert size_of(sent) == (resize.width, resize.height)
    assert np.array_equal(resized(sent, resize), resized(encoded(image), resize))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_large_array_has_server_s_pixels(mode):
    array = np.asarray(drawn_image(mode))
    sent = encoded(array, RESIZE)
    assert size_of(sent) == (61, 58)
    assert np.array_equal(resized(sent), resized(encoded(array)))


OTHERWISE = RESIZE._replace(check=RESIZE.check ^ 1)
"""The resize of a server whose Pillow makes other pixels."""


@pytest.mark.parametrize("resize", [OTHERWISE, RESIZE._replace(check=None)])
def test_other_pillow_gets_whole_image(resize):
    for image in (drawn_image(), noise(190, 260, 3)):
        assert encoded(image, resize) == encoded(image)


@pytest.mark.parametrize("files", [True, "draft"])
def test_explicit_shrink_ignores_other_pillow(files):
    for image in (drawn_image(), noise(190, 260, 3), file(drawn_image())):
        assert size_of(encoded(image, OTHERWISE, files=files)) == (61, 58)


@settings(max_examples=tries(20), deadline=None)
@given(
    height=st.integers(16, 400),
    width=st.integers(16, 400),
    resample=st.sampled_from([2, 3, 1]),
)
def test_fingerprint_depends_on_resize_order(height, width, resample):
    resize = Image.Image.resize

    def rows_first(image, size, resample):
        return resize(resize(image, (size[0], image.height), resample), size, resample)

    def columns_first(image, size, resample):
        return resize(resize(image, (image.width, size[1]), resample), size, resample)

    checks = set()
    for other in (rows_first, columns_first):  # Pillow 12 and older; Pillow 13, of some images
        with patch.object(Image.Image, "resize", other):
            checks.add(resize_fingerprint(height, width, resample))
    assert len(checks) == 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_rotated_image_is_shrunk_upright(kind, orientation):
    options = {"quality": 100} if kind == "JPEG" else {}
    data = file(drawn_image(width=400), kind, exif=turned(orientation), **options)
    opened = Image.open(io.BytesIO(data))
    for sent in (shrunk_file(data, RESIZE), encoded(opened, RESIZE)):
        assert size_of(sent) == (61, 58)
        assert np.array_equal(resized(sent), resized(data))


@pytest.mark.parametrize(
    "data",
    [
        file(drawn_image(), "PNG"),
        file(drawn_image("P", 400, 400), "PNG", transparency=3),
        file(drawn_image("I;16"), "PNG"),
        file(drawn_image("RGBA"), "PNG"),
        file(drawn_image("L", 400, 400), "TIFF"),
        file(drawn_image(), "BMP"),
        file(drawn_image("P", 400, 400), "GIF"),
        file(drawn_image(width=500, height=500), "WEBP"),
        file(drawn_image(width=300, height=300), "JPEG", quality=95),
        file(drawn_image("CMYK", 300, 300), "JPEG", quality=95),
        file(drawn_image(), exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xffrubbish"),
    ],
)
def test_large_file_has_server_s_pixels(data):
    sent = encoded(data, RESIZE, files=True)
    assert size_of(sent) == (61, 58)
    assert np.array_equal(resized(sent), resized(data))


def test_cores_bound_concurrent_decoding(monkeypatch):
    monkeypatch.setattr(_decoding_slots, "value", threading.BoundedSemaphore(1))
    decoding = threading.Thread(target=shrunk_file, args=(file(drawn_image()), RESIZE))
    with _decoding_slots.value:
        decoding.start()
        decoding.join(0.2)
        assert decoding.is_alive()
    decoding.join(20)
    assert not decoding.is_alive()


def test_callers_image_is_unchanged():
    image = drawn_image("P", 400, 400)
    image.info.update(transparency=bytes(range(16)), dpi=(72, 72))
    before = (image.tobytes(), dict(image.info), image.size)
    encoded(image, RESIZE)
    assert (image.tobytes(), image.info, image.size) == before


def test_threads_may_share_an_opened_file():
    data = file(drawn_image(width=900, height=700), "JPEG")
    for _ in range(5):
        image = Image.open(io.BytesIO(data))
        with ThreadPoolExecutor(8) as threads:
            sent = set(threads.map(lambda i: encoded(i, RESIZE), [image] * 8))
        assert len(sent) == 1


@pytest.mark.parametrize("image", [drawn_image(width=147, height=148), noise(148, 147, 3)])
def test_small_image_is_not_shrunk(image):
    assert size_of(encoded(image, RESIZE)) == (147, 148)


def test_small_file_is_not_shrunk():
    data = file(Image.new("RGB", (2000, 2000)), "JPEG")
    assert encoded(data, RESIZE, files=True) == data


def test_files_are_not_shrunk_by_default(tmp_path):
    data = file(drawn_image())
    (tmp_path / "a.png").write_bytes(data)
    assert encoded(data, RESIZE) == encoded(tmp_path / "a.png", RESIZE) == data
    shrunk = encoded(tmp_path / "a.png", RESIZE, files=True)
    assert shrunk == encoded(data, RESIZE, files=True) != data


@pytest.mark.parametrize("resize", [NO_RESIZE, told(190, 260, 2), told(300, 300, 2)])
def test_nothing_is_enlarged(resize):
    data = file(drawn_image())
    assert encoded(data, resize, files=True) == data
    assert size_of(encoded(drawn_image(), resize)) == (260, 190)


def test_file_of_few_pixels_is_not_shrunk():
    data = file(drawn_image(width=50, height=50)) + bytes(100_000)
    assert shrunk_file(data, RESIZE) is None


@pytest.mark.parametrize(
    "data",
    [
        b"these are words\n" * 10_000,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>" + b" " * 100_000,
        file(drawn_image())[:-900],
        file(drawn_image())[:40] + bytes(100_000),
        file(drawn_image(width=600, height=600), "JPEG")[:-9000],
        file(Image.fromarray(noise(200, 300).astype(np.int32) * 70_000), "TIFF"),
        file(drawn_image(), "PPM"),
    ],
    ids=["words", "svg", "png cut", "png rubbish", "jpeg cut", "32-bit", "other format"],
)
def test_undecodable_file_is_sent_unchanged(data):
    assert is_large(len(data))
    assert encoded(data, RESIZE, files=True) == data


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    "limit", [40_000, 20_000]
)  # PIL warns at the first limit and refuses at the second
def test_pil_pixel_limit_is_named(monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(InvalidInput, match=r"pixels.*PIL\.Image\.MAX_IMAGE_PIXELS"):
        shrunk_file(file(drawn_image()), RESIZE)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert size_of(shrunk_file(file(drawn_image()), RESIZE)) == (61, 58)


class TestDraft:
    def photo(self):
        return Image.linear_gradient("L").resize((1600, 1200)).convert("RGB")

    @pytest.mark.parametrize("orientation", [1, 6])
    def test_draft_jpeg_has_nearly_the_same_pixels(self, orientation):
        data = file(self.photo(), "JPEG", quality=100, exif=turned(orientation))
        resize = Resize(150, 60, Image.Resampling.BILINEAR)
        exact, draft = (shrunk_file(data, resize, draft=draft) for draft in (False, True))
        assert size_of(draft) == size_of(exact) == (60, 150)
        difference = np.abs(resized(draft, resize).astype(int) - resized(exact, resize))
        assert 0 < difference.max() <= 8

    @pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
    def test_draft_keeps_other_formats_exact(self, kind):
        data = file(drawn_image(), kind)
        assert shrunk_file(data, RESIZE, draft=True) == shrunk_file(data, RESIZE)


@pytest.mark.parametrize("shrink", [None, 1, "true", "Draft"])
def test_invalid_shrink_is_named(shrink):
    with pytest.raises(InvalidInput, match="shrink must be False, True or 'draft'"):
        AlignClient("localhost:1", shrink=shrink)
