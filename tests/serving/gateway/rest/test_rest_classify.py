"""/v1/classify: images x labels, with the learned temperature."""

import numpy as np
import pytest
from rest_calls import data_uri, encoded, sample

import align_zoo
from align_zoo.collection.classify import Labels
from align_zoo.collection.embedder import EncoderEmbedder
from align_zoo.inputs.prompts import TEMPLATE_SETS
from align_zoo.runtime.predictions import ranked

LABELS = ["red star", "green ring", "the digit three", "yellow cross"]
CLASSIFY = "/v1/classify"


@pytest.fixture(scope="module")
def encoder():
    return align_zoo.load_encoder("align_tiny")


@pytest.fixture
def classify(ask, images):
    """Classify the three images; return the answer."""

    def send(labels=LABELS, **options):
        given = [data_uri(images[0]), *map(encoded, images[1:])]
        return ask(CLASSIFY, {"images": given, "labels": labels, **options})

    return send


OPTIONS = {
    "labels-alone": {},
    "template": {"template": "a photo of a {}"},
    "top-k": {"top_k": 2},
    "top-k-beyond": {"top_k": 100},
    "null": {"template": None, "prompts": None, "top_k": None},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_predictions_are_those_of_the_library(classify, encoder, images, options):
    given = {name: value for name, value in options.items() if value is not None}
    expected = encoder.classify(images, LABELS, **given)
    answer = classify(**options)
    assert [each["index"] for each in answer["data"]] == [0, 1, 2]
    for each, predictions in zip(answer["data"], expected, strict=True):
        assert [p["label"] for p in each["predictions"]] == [p.label for p in predictions]
        scores = [p["score"] for p in each["predictions"]]
        np.testing.assert_allclose(scores, [p.score for p in predictions], atol=1e-5)


PROMPTS = {
    "list": ({"template": ["a {}", "a photo of a {}.", "{} here"]}, None),
    "one-in-a-list": ({"template": ["a {}"]}, ["a {}"]),
    "none": ({"prompts": "none"}, ["{}"]),
    "photo": ({"prompts": "photo"}, ["a photo of a {}"]),
    "imagenet": ({"prompts": "imagenet"}, TEMPLATE_SETS["imagenet"]),
}


@pytest.mark.parametrize(("options", "forms"), PROMPTS.values(), ids=PROMPTS)
def test_prompts_of_a_label_are_averaged(classify, encoder, images, options, forms):
    forms = forms or options["template"]
    answer = classify(none="nothing", **options)
    of_label = [
        encoder.embed_texts([form.replace("{}", name) for form in forms]).mean(axis=0)
        for name in LABELS
    ]
    rows = np.stack([*of_label, encoder.embed_texts("nothing")[0]]).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    powers = np.exp(encoder.embed_images(images) @ rows.T / encoder.temperature)
    for each, expected in zip(answer["data"], powers / powers.sum(1, keepdims=True), strict=True):
        scores = {p["label"]: p["score"] for p in each["predictions"]}
        found = [scores[name] for name in [*LABELS, "nothing"]]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_prompts_are_those_of_the_command(classify, encoder, images):
    labels = Labels.read(LABELS, EncoderEmbedder("align_tiny", encoder), templates="imagenet")
    answer = classify(prompts="imagenet")
    for each, image in zip(answer["data"], encoder.embed_images(images), strict=True):
        expected = ranked(LABELS, image, labels.rows, encoder.temperature, None)
        assert [p["label"] for p in each["predictions"]] == [p.label for p in expected]
        scores = [p["score"] for p in each["predictions"]]
        np.testing.assert_allclose(scores, [p.score for p in expected], rtol=0, atol=1e-6)


def test_best_label_is_the_right_one(classify):
    best = [each["predictions"][0]["label"] for each in classify()["data"]]
    assert best == ["red star", "green ring", "the digit three"]


def test_temperature_is_the_learned_one(classify, encoder):
    assert classify()["temperature"] == pytest.approx(encoder.temperature, rel=1e-6)


def test_repeated_label_is_counted_once(classify):
    assert classify([*LABELS, LABELS[0]])["data"] == classify()["data"]


def test_comma_belongs_to_its_label(classify):
    names = ["star, red", "ring"]
    assert {p["label"] for p in classify(names)["data"][0]["predictions"]} == {*names}


def test_none_is_asked_about_without_template(classify, encoder, images):
    labels = [*(f"a photo of a {name}" for name in LABELS), "nothing"]
    expected = [each.score for each in encoder.classify(images[0], labels)]
    answer = classify(template="a photo of a {}", none="nothing")["data"][0]["predictions"]
    np.testing.assert_allclose([each["score"] for each in answer], expected, atol=1e-5)
    assert {each["label"] for each in answer} == {*LABELS, "nothing"}


def test_thousand_labels_sum_to_one(classify):
    (first, *_) = classify([f"star {i}" for i in range(1000)])["data"]
    assert sum(p["score"] for p in first["predictions"]) == pytest.approx(1)


FAULTS = {
    "no-labels": ({"labels": []}, "labels", "1 to 2048 are accepted"),
    "one-string": ({"labels": "star"}, "labels", "must be a list"),
    "no-string": ({"labels": ["star", 3]}, "labels", "label 1 is a int"),
    "blank": ({"labels": ["star", " "]}, "labels", "label 1 is blank"),
    "control": ({"labels": ["star", "ring", "star", "\u200b"]}, "labels[3]", "the text is blank"),
    "no-none": ({"none": " "}, "none", "the text is blank"),
    "no-place": ({"template": "a photo"}, "template", "needs {} exactly once"),
    "two-places": ({"template": "{} {}"}, "template", "needs {} exactly once"),
    "no-template": ({"template": []}, "template", "1 to 2048 are accepted"),
    "template-number": ({"template": 7}, "template", "a string or a list of strings"),
    "one-of-two": ({"template": ["a {}", "a photo"]}, "template", "needs {} exactly once"),
    "no-string-in-list": ({"template": ["{}", 7]}, "template", "is not a string"),
    "unknown-set": ({"prompts": "clip"}, "prompts", '"none" or "photo" or "imagenet"'),
    "both": ({"template": "{}", "prompts": "none"}, "prompts", "exclude each other"),
    "prompts": (
        {"labels": [str(i) for i in range(103)], "prompts": "imagenet"},
        "prompts",
        "103 texts and 80 templates make 8,240 prompts: at most 8,192 are accepted",
    ),
    "characters": (
        {"labels": [str(i) for i in range(2000)], "template": "{}" + "a" * 10_000},
        "template",
        "at most 16,777,216 are accepted",
    ),
    "no-top-k": ({"top_k": 0}, "top_k", "above 0"),
    "top-k-text": ({"top_k": "3"}, "top_k", "a whole number"),
    "too-many": ({"labels": [str(i) for i in range(2049)]}, "labels", "2049 items"),
    "predictions": (
        {"images": ["AAAA"] * 100, "labels": [str(i) for i in range(1001)]},
        "top_k",
        "100,100 predictions",
    ),
}


@pytest.mark.parametrize(("changes", "param", "words"), FAULTS.values(), ids=FAULTS)
def test_fault_names_its_field(fault, images, changes, param, words):
    error = fault(CLASSIFY, {"images": [data_uri(images[0])], "labels": LABELS, **changes})
    assert (error["param"], words in error["message"]) == (param, True), error


def test_bad_image_has_its_error_in_place(ask, images):
    given = [data_uri(images[0]), encoded(b"no image"), data_uri(images[1])]
    asked = {"images": given, "labels": LABELS, "on_error": "return"}
    first, bad, second = ask(CLASSIFY, asked)["data"]
    assert (bad["predictions"], bad["error"]["param"]) == (None, "images[1]")
    assert first["predictions"][0]["label"] == "red star"
    assert second["predictions"][0]["label"] == "green ring"


def test_bad_label_is_never_left_out(fault, images):
    asked = {"images": [data_uri(images[0])], "labels": ["star", "\u200b"], "on_error": "return"}
    assert fault(CLASSIFY, asked)["param"] == "labels[1]"


def test_many_images_and_labels_are_answered(ask):
    asked = {"images": [encoded(sample("red-star"))] * 70, "labels": LABELS, "top_k": 1}
    assert {p["label"] for each in ask(CLASSIFY, asked)["data"] for p in each["predictions"]} == {
        "red star"
    }
