"""Images, crops and sizes that just fit one another, and those that do not."""

from __future__ import annotations

import pytest
from PIL import Image

from align_zoo import CheckpointError, InvalidImage
from align_zoo.inputs.preprocess import AlignTransform

CROPS = {"do_center_crop": True}
CROPS_ALONE = {**CROPS, "do_resize": False, "crop_size": {"height": 20, "width": 30}}


@pytest.mark.parametrize("size", [(29, 20), (30, 19), (29, 19)], ids=["narrow", "low", "both"])
def test_image_smaller_than_the_crop_is_refused(size):
    transform = AlignTransform.from_dict(CROPS_ALONE)
    told = rf"a {size[0]} x {size[1]} image is smaller than the crop, 30 x 20"
    with pytest.raises(InvalidImage, match=told) as caught:
        transform.to_array(Image.new("RGB", size))
    assert caught.value.reason == "too_small"


@pytest.mark.parametrize("size", [(30, 20), (31, 20), (30, 21)])
def test_image_as_large_as_the_crop_is_cropped(size):
    transform = AlignTransform.from_dict(CROPS_ALONE)
    assert transform.to_array(Image.new("RGB", size)).shape == (3, 20, 30)


@pytest.mark.parametrize("crop", [(33, 32), (32, 33)], ids=["higher", "wider"])
def test_crop_larger_than_the_size_is_refused(crop):
    config = {**CROPS, "size": 32, "crop_size": dict(zip(("height", "width"), crop, strict=True))}
    with pytest.raises(CheckpointError, match=r"crop_size .*at most size, \[32, 32\]"):
        AlignTransform.from_dict(config)


def test_crop_may_be_as_large_as_the_size():
    transform = AlignTransform.from_dict({**CROPS, "size": 32, "crop_size": 32})
    assert transform.input_size == (32, 32)
