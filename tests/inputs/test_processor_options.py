"""The options of a call: AlignProcessor's, each with its equivalent here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from checkpoints import PREPROCESSOR
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import photo, processor
from transformers import AlignProcessor, BertTokenizerFast
from tries import tries

from align_zoo import CheckpointError, InvalidInput
from align_zoo.inputs.preprocess import AlignTransform
from align_zoo.inputs.processor_options import OPTIONS


@pytest.mark.parametrize(
    "options",
    [
        {"crop_size": {"height": 224, "width": 224}},
        {"crop_size": 224},
        {"crop_size": [65, 64]},
        {"size": {"height": 300, "width": 500}},
        {"size": 301, "crop_size": 300},
        {"resample": 3},
        {"do_resize": False},
        {"do_center_crop": False},
        {"do_rescale": False},
        {"rescale_factor": 0.5, "rescale_offset": False},
        {"do_normalize": True, "image_mean": [0.1, 0.2, 0.3], "image_std": 0.25},
        {"include_top": True},
    ],
    ids=str,
)
def test_the_options_of_a_call_are_align_processors(options):
    image = photo(400, 333, seed=5)
    align = AlignProcessor(processor(), BertTokenizerFast())
    expected = align(images=image, images_kwargs=options, return_tensors="pt")["pixel_values"][0]
    plain = AlignTransform.from_dict(PREPROCESSOR)
    got = plain.with_options(**options)(image)
    torch.testing.assert_close(got, expected.float(), atol=1e-5, rtol=1e-6)
    assert got.shape != plain(image).shape or not torch.equal(got, plain(image))


def test_transform_keeps_its_config():
    plain = AlignTransform.from_dict(PREPROCESSOR)
    assert plain.config == PREPROCESSOR
    other = plain.with_options(crop_size=224)
    assert other.config == {**PREPROCESSOR, "crop_size": 224}
    assert AlignTransform.from_dict(other.config) == other != plain
    assert other.with_options(crop_size=289) == plain


def test_the_array_and_the_tensor_are_the_same():
    transform, image = AlignTransform.from_dict(PREPROCESSOR), photo(60, 50)
    array = transform.to_array(image)
    assert (type(array), array.dtype) == (np.ndarray, np.float32)
    assert np.array_equal(array, transform(image).numpy())


def test_nulls_mean_the_default():
    assert AlignTransform.from_dict(dict.fromkeys(PREPROCESSOR)) == AlignTransform.from_dict({})


REFUSED = [
    ("do_resize", "yes"),
    ("do_resize", 1),
    ("size", {"shortest_edge": 346}),
    ("size", "large"),
    ("size", [346]),
    ("size", True),
    ("size", 10**9),
    ("size", 16_385),
    ("crop_size", {"height": 0, "width": 289}),
    ("crop_size", {"height": 28.9, "width": 289}),
    ("crop_size", 347),
    ("resample", 99),
    ("resample", "bilinear"),
    ("do_center_crop", [True]),
    ("do_rescale", "no"),
    ("rescale_factor", True),
    ("rescale_factor", float("nan")),
    ("rescale_factor", "1/255"),
    ("rescale_factor", 10**400),
    ("rescale_offset", 1),
    ("do_normalize", 3),
    ("image_mean", [0.5, 0.5]),
    ("image_mean", "grey"),
    ("image_mean", [0.5, False, 0.5]),
    ("image_std", [0.5, 0.0, 0.5]),
    ("image_std", [0.5, 1e-10, 0.5]),
    ("image_std", float("inf")),
    ("include_top", 0),
]


@pytest.mark.parametrize(("option", "value"), REFUSED, ids=str)
def test_unsupported_value_is_refused_by_name(option, value):
    config = {**PREPROCESSOR, "do_normalize": True}
    transform = AlignTransform.from_dict(config)
    with pytest.raises(InvalidInput, match=f"^{option} is "):
        transform.with_options(**{option: value})
    with pytest.raises(CheckpointError, match=f"^the file: {option} is "):
        AlignTransform.from_dict({**config, option: value}, source="the file")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("image_processor_type", "EfficientNetImageProcessorFast"),
        ("image_processor_type", "EfficientNetImageProcessorPil"),
        ("feature_extractor_type", "EfficientNetFeatureExtractor"),
        ("image_processor_type", None),
    ],
)
def test_every_name_of_efficientnets_processor_is_the_same(name, kind):
    untyped = {key: v for key, v in PREPROCESSOR.items() if key != "image_processor_type"}
    assert AlignTransform.from_dict({**untyped, name: kind}) == AlignTransform.from_dict(untyped)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("image_processor_type", "CLIPImageProcessor"),
        ("image_processor_type", "ViTImageProcessorFast"),
        ("image_processor_type", "EfficientNetImageProcessorOther"),
        ("image_processor_type", 3),
        ("feature_extractor_type", "CLIPFeatureExtractor"),
    ],
)
def test_another_models_processor_is_refused_by_name(name, kind):
    options = {**PREPROCESSOR, "image_processor_type": None, name: kind}
    with pytest.raises(CheckpointError, match=f"^the file: {name} is .*EfficientNetImageProc"):
        AlignTransform.from_dict(options, source="the file")


def test_newer_of_both_names_counts():
    """So transformers reads them."""
    AlignTransform.from_dict({**PREPROCESSOR, "feature_extractor_type": "CLIPFeatureExtractor"})


@pytest.mark.parametrize("name", ["crop", "do_pad", "data_format", "return_tensors"])
def test_unknown_option_is_refused_with_the_known_options(name):
    with pytest.raises(InvalidInput, match=f"{name}.*crop_size"):
        AlignTransform.from_dict(PREPROCESSOR).with_options(**{name: 3})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["height", "width", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(max_examples=tries(300), deadline=None)
@given(values=st.dictionaries(st.sampled_from(sorted(OPTIONS)), JSON, max_size=4))
def test_any_config_makes_a_transform_or_is_refused(values):
    try:
        transform = AlignTransform.from_dict(values)
    except CheckpointError as error:
        assert any(name in str(error) for name in values)
    else:
        assert np.isfinite(transform.scale).all()
        assert np.isfinite(transform.offset).all()
