"""Both towers as services, without Triton: each item its unit vector, or its own error."""

import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from align_zoo import InvalidImage, InvalidText, create_align, load_encoder
from align_zoo.inputs.decode import decode_image
from align_zoo.serving.model.image import ImageService
from align_zoo.serving.model.text import Counted, Recent, TextService, decode_text

TEXTS = ["a photo of a cat", "dog", "a red bus!", "photo " * 100]


def embedded(service, items):
    return [answer for portion in service.portions(items) for answer in portion]


@pytest.fixture(scope="module", params=["onnx", "torch"])
def encoder(request, small_checkpoint):
    return load_encoder(small_checkpoint, runtime=request.param, device="cpu")


@pytest.fixture
def image_service(encoder):
    return ImageService(encoder)


@pytest.fixture
def text_service(encoder):
    return TextService(encoder)


@pytest.fixture(scope="module")
def reference(small_checkpoint):
    return create_align(small_checkpoint)


@torch.inference_mode()
def test_images_get_the_models_embeddings(image_service, reference, images):
    model, transform, _ = reference
    pixels = torch.stack([transform(decode_image(data)) for data in images])
    expected = model.encode_image(pixels, normalize=True).numpy()
    np.testing.assert_allclose(np.stack(embedded(image_service, images)), expected, atol=1e-5)


@torch.inference_mode()
def test_texts_get_the_models_embeddings(text_service, reference):
    model, _, tokenizer = reference
    expected = model.encode_text(tokenizer(TEXTS), normalize=True).numpy()
    answers = text_service.embed([text.encode() for text in TEXTS])
    np.testing.assert_allclose(np.stack(answers), expected, atol=1e-5)


def test_a_bad_image_leaves_the_others_their_answers(image_service, images):
    alone = embedded(image_service, images[:2])
    first, bad, second = embedded(image_service, [images[0], b"<svg/>", images[1]])
    assert isinstance(bad, InvalidImage)
    np.testing.assert_allclose([first, second], alone, atol=1e-6)


def test_a_bad_text_leaves_the_others_their_answers(text_service):
    first, bad, second = text_service.embed([b"cat", b"\xff", b"dog"])
    assert isinstance(bad, InvalidText)
    np.testing.assert_allclose([first, second], text_service.embed([b"cat", b"dog"]), atol=1e-6)


def test_only_bad_items_need_no_tower(image_service, text_service):
    assert isinstance(embedded(image_service, [b""])[0], InvalidImage)
    assert isinstance(text_service.embed([b""])[0], InvalidText)


def test_limits_are_the_services(encoder, images):
    (answer,) = embedded(ImageService(encoder, max_bytes=10), images[:1])
    assert "at most 10 are accepted" in str(answer)
    (answer,) = embedded(ImageService(encoder, max_pixels=10), images[:1])
    assert "at most 10 are accepted" in str(answer)


def test_both_towers_name_one_checkpoint(image_service, text_service, reference):
    assert image_service.constants["CHECKPOINT"] == text_service.constants["CHECKPOINT"]
    temperature = text_service.constants["TEMPERATURE"]
    np.testing.assert_allclose(temperature, [reference[0].temperature.item()])


def test_repeated_text_is_computed_once(encoder):
    rows = []

    def tower(ids, mask):
        rows.extend(ids)
        return encoder.text(ids, mask)

    service = TextService(replace(encoder, load_text=lambda: tower))
    first, _, again = service.embed([b"cat", b"dog", b"cat"])
    assert len(rows) == 2
    later, new = service.embed([b"cat", b"bird"])
    assert len(rows) == 3
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, later)
    assert not np.allclose(first, new)


def test_tokens_are_those_that_the_tower_read(text_service, reference):
    _, _, tokenizer = reference
    expected = tokenizer(TEXTS)["attention_mask"].sum(axis=1, keepdims=True).numpy()
    items = [text.encode() for text in TEXTS]
    for _ in range(2):  # computed, then remembered
        embedded(text_service, [*items, b""])
        np.testing.assert_array_equal(text_service.beside(items)["TOKENS"], expected)


def test_the_least_recently_asked_for_is_forgotten():
    recent = Recent(2, longest=9)
    recent.keep({"a": Counted(np.zeros(1), 3), "b": Counted(np.ones(1), 3)})
    assert set(recent.find(["a"])) == {"a"}
    recent.keep({"c": Counted(np.ones(1), 3)})
    assert set(recent.find(["a", "b", "c"])) == {"a", "c"}


def test_entries_with_long_keys_are_not_kept():
    recent = Recent(2, longest=3)
    recent.keep({"abc": Counted(np.zeros(1), 3), "abcd": Counted(np.ones(1), 3)})
    assert set(recent.find(["abc", "abcd"])) == {"abc"}


def test_kept_vectors_do_not_hold_their_batch():
    recent, batch = Recent(2, longest=3), np.zeros((64, 640), np.float32)
    recent.keep({"abc": Counted(batch[0], 3)})
    others = weakref.ref(batch)
    del batch
    assert others() is None
    assert set(recent.find(["abc"])) == {"abc"}


def test_different_texts_are_counted_as_remembered_or_computed(text_service):
    text_service.embed([b"cat", b"dog", b"cat", b""])
    assert text_service.counts == {"text_cache_hits": 0, "text_cache_misses": 2}
    text_service.embed([b"cat", b"cat", b"bird"])
    assert text_service.counts == {"text_cache_hits": 1, "text_cache_misses": 3}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the text is empty"),
        (b" \t\n", "the text is blank"),
        (b"\x00\x00", "the text is blank"),
        ("\u200b\u00a0".encode(), "the text is blank"),
        (b"caf\xe9", r"the text is not UTF-8 \(byte 3\)"),
    ],
)
def test_text_without_meaning_is_refused(data, reason):
    with pytest.raises(InvalidText, match=reason):
        decode_text(data)


@pytest.mark.parametrize("text", ["cat", "猫", "🐈", "a\x00b", "?"])
def test_meaningful_text_is_accepted(text):
    assert decode_text(text.encode()) == text
