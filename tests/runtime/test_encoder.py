"""Every runtime answers what the model answers, for any batch."""

from __future__ import annotations

import io
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import align_zoo
from align_client import scores
from align_zoo.runtime.images import ImageBatcher
from align_zoo.runtime.machine import cores

TEXTS = ["cat", "a photo of a big red bus", "dog", "the cat, " * 40, "cat", "ünïcödé 世界 [MASK]"]
ON_A_CPU = f"onnx (threads: {cores()}): the fastest on a CPU"


@pytest.fixture(scope="module")
def model(checkpoint):
    return align_zoo.create_align(checkpoint)


def drawn_image(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(60, 400, 2)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return coarse.resize((int(width), int(height)))


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("count", [1, 4, 9])
def test_images_get_the_models_unit_embeddings(encoder, model, count, tmp_path):
    align, transform, _ = model
    images = [drawn_image(seed) for seed in range(count)]
    items: list = list(images)
    for i in range(0, count, 3):
        items[i] = png(images[i])
    for i in range(1, count, 3):
        items[i] = tmp_path / f"{i}.png"
        items[i].write_bytes(png(images[i]))
    with torch.inference_mode():
        pixels = torch.stack([transform(image) for image in images])
        expected = align.encode_image(pixels, normalize=True).numpy()
    got = encoder.embed_images(items)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-5)
    np.testing.assert_allclose(encoder.embed_pixels(pixels.numpy()), expected, atol=1e-5)


@pytest.mark.parametrize("size", [None, 75, (64, 160)])
def test_feature_map_is_the_models(encoder, model, size):
    align, transform, _ = model
    image = drawn_image(7).resize((200, 200))
    features = encoder.features(png(image), size=size)
    if size is not None:
        transform = transform.at_size(*(size if isinstance(size, tuple) else (size, size)))
    with torch.inference_mode():
        (expected,) = align.image.feature_maps(transform(image)[None]).numpy()
    assert features.values.dtype == np.float32
    np.testing.assert_allclose(features.values, expected, atol=1e-5 * np.abs(expected).max())


def test_small_image_has_no_feature_map(encoder):
    with pytest.raises(align_zoo.InvalidImage, match="this tower takes sides of"):
        encoder.features(drawn_image(7), size=(4, 75))


@pytest.mark.parametrize("texts", [TEXTS[:1], TEXTS, [f"photo {i}" for i in range(130)]])
def test_texts_get_the_models_unit_embeddings(encoder, model, texts):
    align, _, tokenizer = model
    with torch.inference_mode():
        rows = [align.encode_text(tokenizer(text), normalize=True) for text in texts]
    got = encoder.embed_texts(texts)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, torch.cat(rows).numpy(), atol=1e-5)


def test_explanation_names_runtime_threads_and_reason(encoder, model, checkpoint):
    assert encoder.runtime in ("onnx", "torch")
    assert encoder.reason == "asked for"
    assert encoder.temperature == pytest.approx(model[0].temperature.item())
    assert encoder.fingerprint == align_zoo.load_encoder(checkpoint).fingerprint
    assert encoder.transform == model[1]


def test_concurrent_first_calls_load_a_tower_once(encoder):
    loaded, second = [], threading.Event()

    def load_text():
        loaded.append(encoder.text)
        if len(loaded) > 1:
            second.set()
        second.wait(0.3)  # who comes now without waiting for the first is seen
        return encoder.text

    own = replace(encoder, load_text=load_text)
    with ThreadPoolExecutor(4) as pool:
        rows = [*pool.map(own.embed_texts, [TEXTS] * 4)]
    assert len(loaded) == 1
    for each in rows:
        np.testing.assert_allclose(each, rows[0], atol=1e-6)


def test_a_bad_image_is_named(encoder):
    with pytest.raises(align_zoo.InvalidImage, match="image 1: not an image"):
        encoder.embed_images([drawn_image(0), b"<svg/>"])
    with pytest.raises(align_zoo.InvalidImage, match="image 0: '/nowhere' does not exist"):
        encoder.embed_images(["/nowhere"])


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("a\0b.png", "is no path: embedded null byte"),
        ("\ud800.png", "is no path: .*surrogates"),
        (np.zeros((9, 9, 3), np.uint8), "a ndarray is neither a path nor an encoded image"),
        (bytearray(b"GIF89a"), "a bytearray is neither"),
        (None, "a NoneType is neither"),
    ],
    ids=["NUL", "half a character", "an array", "a bytearray", "None"],
)
def test_object_that_is_no_image_is_named(encoder, item, reason):
    with pytest.raises(align_zoo.InvalidImage, match=f"image 1: .*{reason}"):
        encoder.embed_images([drawn_image(0), item])


@pytest.mark.parametrize(
    "items", [[], iter(()), None, {}, 3], ids=["empty", "ended", "None", "a mapping", "a number"]
)
def test_object_that_is_no_image_list_is_named(encoder, items):
    with pytest.raises(align_zoo.InvalidImage, match="give an image or a list of at least one"):
        encoder.embed_images(items)


def test_an_open_file_is_no_list_of_images(encoder, tmp_path):
    (tmp_path / "one.png").write_bytes(png(drawn_image(0)))
    with (
        (tmp_path / "one.png").open("rb") as file,
        pytest.raises(align_zoo.InvalidImage, match="is an open file; give its path"),
    ):
        encoder.embed_images(file)


@pytest.mark.parametrize("strings", [[], None, b"one", {"a": 1}, ["a", 3]])
def test_object_that_is_no_text_is_named(encoder, strings):
    with pytest.raises(align_zoo.InvalidText, match=r"list of at least one string|text 1 is a int"):
        encoder.embed_texts(strings)


def test_one_image_or_text_is_one_row(encoder, tmp_path):
    path = tmp_path / "one.png"
    path.write_bytes(png(drawn_image(0)))
    expected = encoder.embed_images([drawn_image(0)])
    for one in (path, str(path), path.read_bytes(), drawn_image(0), iter([path])):
        np.testing.assert_allclose(encoder.embed_images(one), expected, atol=1e-6)
    for texts in ("cat", ("cat",), iter(["cat"])):
        np.testing.assert_allclose(
            encoder.embed_texts(texts), encoder.embed_texts(["cat"]), atol=1e-6
        )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("http://host/a.png", "'http://host/a.png' is a URL, which is not fetched"),
        (Path("https://host/a.png"), "'https:/host/a.png' is a URL, which is not fetched"),
        ("data:image/png;base64,AA", "is a URL, which is not fetched: give the bytes"),
        ("", "'' does not exist"),
        ("absent.png", "'absent.png' does not exist"),
        (".", "'.' cannot be read: Is a directory"),
        ("text.png", r"'text.png': not an image in an accepted format \("),
        ("cut.png", r"'cut.png': the PNG image is truncated or damaged"),
    ],
    ids=str,
)
def test_every_error_names_the_path(encoder, tmp_path, monkeypatch, name, told):
    monkeypatch.chdir(tmp_path)
    Path("text.png").write_text("hello")
    Path("cut.png").write_bytes(png(drawn_image(0))[:-400])
    with pytest.raises(align_zoo.InvalidImage, match=f"image 1: .*{told}"):
        encoder.embed_images([drawn_image(0), name])
    sound, error = encoder.embed_images([drawn_image(0), name], on_error="return")
    assert re.search(told, str(error)) and "image" not in str(error).partition(":")[0]
    np.testing.assert_allclose(sound, encoder.embed_images(drawn_image(0))[0], atol=1e-6)


def test_on_error_is_raise_or_return(encoder):
    with pytest.raises(align_zoo.InvalidInput, match="on_error is 'ignore'; supported: 'raise'"):
        encoder.embed_images(drawn_image(0), on_error="ignore")


@pytest.mark.parametrize("top_k", [None, 1, 2, 99])
def test_a_classification_is_the_clients(encoder, top_k):
    labels = ["cat", "dog", "bus", "cat"]
    texts = encoder.embed_texts([f"a {label}" for label in labels[:3]])
    images = encoder.embed_images([drawn_image(0), drawn_image(1)])
    logits = np.einsum("nd,md->nm", images, texts, dtype=np.float64) / encoder.temperature
    expected = [scores.ranked(labels[:3], scores.softmax(row), top_k) for row in logits]
    got = encoder.classify([drawn_image(0), drawn_image(1)], labels, template="a {}", top_k=top_k)
    for ours, theirs in zip(got, expected, strict=True):
        assert [each.label for each in ours] == [each.label for each in theirs]
        assert [each.score for each in ours] == pytest.approx([e.score for e in theirs], abs=1e-5)


def test_one_image_is_classified_as_among_several(encoder):
    labels = ["cat", "dog", "bus"]
    alone = encoder.classify(drawn_image(0), labels)
    assert [label for label, _ in alone] == [each.label for each in alone]
    assert sum(each.score for each in alone) == pytest.approx(1)
    among = encoder.classify([drawn_image(1), drawn_image(0)], labels)[1]
    assert [each.label for each in among] == [each.label for each in alone]


def test_an_images_error_takes_its_predictions_place(encoder):
    sound, error = encoder.classify([drawn_image(0), "absent.png"], ["cat"], on_error="return")
    assert sound == [("cat", 1.0)]
    assert str(error) == "'absent.png' does not exist"
    assert str(encoder.classify("absent.png", ["cat"], on_error="return")) == str(error)
    with pytest.raises(align_zoo.InvalidImage, match=r"image 1: 'absent\.png' does"):
        encoder.classify([drawn_image(0), "absent.png"], ["cat"])


@pytest.mark.parametrize(
    ("labels", "options", "told"),
    [
        ("cat", {}, "the labels are one string, 'cat'; give a list"),
        ([], {}, "there are no labels"),
        (None, {}, "the labels are None; give a list"),
        (["cat", " "], {}, "label 1 is blank"),
        (["cat"], {"template": "a photo"}, "'a photo' needs {} exactly once"),
        (["cat"], {"template": 3}, "3 is not a string"),
        (["cat"], {"top_k": 0}, "top_k is 0, not a whole number above 0"),
        (["cat"], {"top_k": 1.5}, "top_k is 1.5, not"),
        (["cat"], {"on_error": "skip"}, "on_error is 'skip'"),
    ],
)
def test_invalid_classification_option_is_named(encoder, labels, options, told):
    with pytest.raises(align_zoo.InvalidInput, match=told):
        encoder.classify(drawn_image(0), labels, **options)


def test_image_too_small_for_the_tower_is_named(encoder):
    """Where nothing is resized."""
    as_it_is = encoder.transform.with_options(do_resize=False, do_center_crop=False)
    encoder = replace(encoder, transform=as_it_is)
    small, large = Image.new("RGB", (40, 7)), drawn_image(1)
    with pytest.raises(align_zoo.InvalidImage, match=r"image 1: .* sides of 8 and more"):
        encoder.embed_images([large, small])
    with pytest.raises(align_zoo.InvalidImage, match="sides of 8 and more"):
        encoder.embed_pixels(np.zeros((2, 3, 7, 40), np.float32))
    batcher = ImageBatcher(as_it_is, at_once=4)
    first, refused, last = batcher.embed([large, small, large], encoder.image)
    assert isinstance(refused, align_zoo.InvalidImage)
    np.testing.assert_allclose([first, last], encoder.embed_images([large] * 2), atol=1e-6)


def test_a_text_that_is_not_unicode_is_named(encoder):
    told = r"text 1, 'ca\\ud800', cannot be written in UTF-8"
    with pytest.raises(align_zoo.InvalidText, match=told):
        encoder.embed_texts(["cat", "ca\ud800"])
