"""An image that cannot be read is our error, which names the image and the reason."""

from __future__ import annotations

import io
import os
import re

import numpy as np
import pytest
from PIL import Image

from align_client import InvalidInput
from align_client.images import encoded, may_shrink
from align_zoo import InvalidImage
from align_zoo.inputs.decode import to_rgb
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.runtime.images import ImageBatcher

KINDS = ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"]
SAMPLE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8))


@pytest.fixture
def path(tmp_path, request):
    path = tmp_path / "image"
    SAMPLE.save(path, request.param)
    return path


def library(image) -> Exception:
    transform = AlignTransform.from_dict({"size": {"height": 8, "width": 8}})
    (answer,) = ImageBatcher(transform, at_once=1).embed([image], lambda pixels: pixels)
    return answer


def client(image) -> Exception:
    may_shrink(image, files=True)
    with pytest.raises(InvalidInput) as refused:
        encoded(image)
    return refused.value


def assert_named(error: Exception, words: str) -> None:
    assert isinstance(error, (InvalidImage, InvalidInput)), repr(error)
    message = str(error)
    assert re.search(words, message), message
    assert not re.search(r"[:(]\s*\)?$", message), message


in_every_format = pytest.mark.parametrize("path", KINDS, indirect=True)
by_both = pytest.mark.parametrize("use", [library, client])


@by_both
@in_every_format
def test_a_closed_image_is_named_closed(use, path):
    image = Image.open(path)
    image.close()
    assert_named(use(image), "was closed.*open it again")


@by_both
@in_every_format
def test_an_image_closed_after_reading_is_named_closed(use, path):
    image = Image.open(path)
    image.load()
    image.close()
    assert_named(use(image), "was closed.*open it again")


@by_both
@pytest.mark.parametrize("path", ["JPEG", "PNG", "GIF", "BMP", "TIFF"], indirect=True)
def test_image_after_its_with_block_is_named_closed(use, path):
    with Image.open(path) as image:
        pass
    assert_named(use(image), "was closed.*open it again")


@by_both
@pytest.mark.parametrize("path", ["JPEG", "PNG", "GIF", "BMP", "TIFF"], indirect=True)
def test_image_with_a_closed_file_is_named_closed(use, path):
    with path.open("rb") as file:
        image = Image.open(file)
    assert_named(use(image), "was closed.*open it again")


@by_both
@pytest.mark.parametrize("path", ["JPEG", "PNG", "GIF", "BMP", "TIFF"], indirect=True)
def test_image_with_a_cut_file_is_named_truncated(use, path):
    image = Image.open(path)
    os.truncate(path, path.stat().st_size // 2)
    assert_named(use(image), "truncated")


@in_every_format
def test_image_with_a_moved_file_is_still_read(path):
    image = Image.open(path)
    path.rename(path.with_name("elsewhere"))
    assert encoded(image).data
    assert to_rgb(Image.open(path.with_name("elsewhere"))).size == (300, 200)


class WithoutInit(Image.Image):
    def __init__(self):
        pass


def failing(error: BaseException) -> Image.Image:
    class Failing(Image.Image):
        def load(self):
            raise error

    image = Failing()
    image._mode, image._size = "RGB", (60, 40)
    return image


FAILING = {
    "no __init__": (WithoutInit(), "PIL.*(_mode|_size)"),
    "assertion": (failing(AssertionError()), "PIL.*AssertionError"),
    "attribute": (failing(AttributeError("no fp")), "PIL.*AttributeError: no fp"),
    "key": (failing(KeyError("x")), "PIL.*KeyError: 'x'"),
    "empty OSError": (failing(OSError()), "PIL.*OSError"),
    "own words": (failing(OSError("the disk is gone")), "PIL.*the disk is gone"),
}


@by_both
@pytest.mark.parametrize(("image", "words"), FAILING.values(), ids=FAILING)
def test_failing_subclass_is_named_with_its_reason(use, image, words):
    assert_named(use(image), words)


def test_too_little_memory_has_a_message():
    assert_named(client(failing(MemoryError())), "too little memory")


class OddPath:
    def __init__(self, error):
        self.error = error

    def __fspath__(self):
        raise self.error


@by_both
@pytest.mark.parametrize("error", [RuntimeError(), OSError(), TypeError("a word")], ids=repr)
def test_a_path_that_fails_is_named(use, error):
    assert_named(use(OddPath(error)), "OddPath.*(RuntimeError|OSError|a word)")


@by_both
def test_a_file_that_cannot_be_opened_is_named(use, tmp_path):
    assert_named(use(tmp_path / "nowhere.png"), r"nowhere\.png")


SIGNED = io.BytesIO()
Image.fromarray(np.zeros((3, 3), np.int32)).save(SIGNED, "TIFF")


@by_both
def test_samples_without_a_range_are_named(use):
    assert_named(use(Image.open(SIGNED)), "signed 32-bit grey samples with no defined range")
