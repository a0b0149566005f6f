"""/v1/heatmap: the shares of an image's places, as the library computes them."""

import dataclasses

import numpy as np
import pytest
from doors import SERVED
from rest_calls import data_uri, encoded, sample

import align_zoo
from align_zoo.collection.classify import Labels
from align_zoo.collection.embedder import EncoderEmbedder
from align_zoo.runtime.features import Layout

HEATMAP = "/v1/heatmap"
TEXTS = ["a red star", "a green ring"]


@pytest.fixture(scope="module")
def encoder():
    return align_zoo.load_encoder("align_tiny")


@pytest.mark.parametrize("against", [None, "a ring"], ids=["alone", "against"])
def test_shares_are_those_of_the_library(ask, encoder, against):
    answer = ask(
        HEATMAP, {"image": data_uri(sample("red-star")), "texts": TEXTS, "against": against}
    )
    for each, text in zip(answer["data"], TEXTS, strict=True):
        heat = align_zoo.heatmap(encoder, sample("red-star"), text, against=against)
        assert each["text"] == text
        np.testing.assert_allclose(each["shares"], heat.shares, atol=1e-6)
        assert each["score"] == pytest.approx(np.sum(each["shares"]), abs=1e-6)
        assert each["score"] == pytest.approx(heat.score, abs=1e-6)


PROMPTS = {
    "one": {"template": "a photo of {}"},
    "several": {"template": ["{}", "a photo of {}"]},
    "set": {"prompts": "photo"},
}


@pytest.mark.parametrize("options", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize("against", [None, "a ring"], ids=["alone", "against"])
def test_shares_of_prompts_are_those_of_their_mean(ask, encoder, options, against):
    image = sample("red-star")
    asked = {"image": data_uri(image), "texts": TEXTS, "against": against, **options}
    templates = options.get("template", "photo")
    embedder = EncoderEmbedder("align_tiny", encoder)
    *rows, minus = Labels.read([*TEXTS, "a ring"], embedder, templates=templates).rows
    for each, row in zip(ask(HEATMAP, asked)["data"], rows, strict=True):
        difference = row - minus if against else row
        expected = encoder.features(image).shares(difference[None])[0]
        np.testing.assert_allclose(each["shares"], expected, rtol=0, atol=1e-6)


def test_places_are_parts_of_the_image(ask, encoder):
    answer = ask(HEATMAP, {"image": encoded(sample("red-star")), "texts": ["a star"]})
    heat = align_zoo.heatmap(encoder, sample("red-star"), "a star")
    width, height = heat.image.size
    rows, columns = heat.centres
    np.testing.assert_allclose(np.array(answer["rows"]) * height, rows, rtol=1e-6)
    np.testing.assert_allclose(np.array(answer["columns"]) * width, columns, rtol=1e-6)
    scale = [width, height, width, height]
    np.testing.assert_allclose(np.array(answer["part"]) * scale, heat.part, rtol=1e-6)


FAULTS = {
    "bad-image": ({"image": encoded(b"no image")}, "image"),
    "url": ({"image": "http://a/b.png"}, "image"),
    "bad-text": ({"texts": ["star", " "]}, "texts[1]"),
    "bad-against": ({"against": " "}, "against"),
    "bad-template": ({"template": ["a"]}, "template"),
    "prompts": ({"texts": ["a"] * 103, "prompts": "imagenet"}, "prompts"),
}


def test_size_names_the_way_out(fault):
    asked = {"image": data_uri(sample("red-star")), "texts": TEXTS, "size": 98}
    error = fault(HEATMAP, asked)
    assert error["param"] == "size" and "`align-zoo explain --size`" in error["message"]


@pytest.mark.parametrize(("changes", "param"), FAULTS.values(), ids=FAULTS)
def test_fault_names_its_field(fault, changes, param):
    asked = {"image": data_uri(sample("red-star")), "texts": TEXTS, **changes}
    assert fault(HEATMAP, asked)["param"] == param


LAYOUT = Layout.read("align_tiny")
UNFIT = {
    "max-pooling": (
        dataclasses.replace(LAYOUT, vision=dataclasses.replace(LAYOUT.vision, pooling_type="max")),
        "pooling_type 'mean'",
    ),
    "no-resize": (
        dataclasses.replace(LAYOUT, transform=dataclasses.replace(LAYOUT.transform, size=None)),
        "does not resize",
    ),
}


@pytest.mark.parametrize(("layout", "words"), UNFIT.values(), ids=UNFIT)
def test_unfit_checkpoint_is_refused(doors, fault, layout, words):
    backend = doors.backends.current
    served = dataclasses.replace(SERVED, read_layout=lambda: layout)
    doors.loop.call(doors.backends.set, dataclasses.replace(backend, served=served))
    try:
        message = fault(HEATMAP, {"image": encoded(sample("red-star")), "texts": TEXTS})["message"]
    finally:
        doors.loop.call(doors.backends.set, backend)
    assert words in message
